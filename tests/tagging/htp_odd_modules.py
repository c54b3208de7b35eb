"""Modules for the tagging tests beyond ``fixtures.plain``: nested control flow, odd ways of calling."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Sequential(nn.Linear(6, 6), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.positive = Inner()
        self.negative = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.positive(x) + 1, lambda x: self.negative(x) * 2, (x,))


class Gates(nn.Module):
    """Conditions inside repeated modules: their bodies' names repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList([Gate(), Gate()])
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        for gate in self.gates:
            x = gate(x)
        return self.out(x)


class Repeat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = Inner()

    def forward(self, x: Tensor) -> Tensor:
        def more(i: Tensor, x: Tensor) -> Tensor:
            return i < 3

        def body(i: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return i + 1, self.step(x)

        return torch.while_loop(more, body, (torch.tensor(0), x))[1]


class While(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Repeat()
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.loop(x))


class Scan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = Inner()

    def forward(self, x: Tensor) -> Tensor:
        from torch._higher_order_ops.scan import scan

        def combine(carry: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            new = self.cell(carry + x)
            return new, new.clone()

        return scan(combine, torch.zeros(2, 6), x, dim=0)[1]


class SharedSlices(nn.Module):
    """A shared instance changes how tracers name every module; slices of lists get names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Inner() for _ in range(3))
        self.again = self.layers[2]
        self.tail = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[1:]:
            x = layer(x)
        return self.tail[1:](self.again(x))


class Borrower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(6, 6)

    def forward(self, x: Tensor, other: nn.Module) -> Tensor:
        return other(self.own(x))


class Lender(nn.Module):
    """A module passed as an argument to another one's forward."""

    def __init__(self) -> None:
        super().__init__()
        self.borrower = Borrower()
        self.lent = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.borrower(x, self.lent)


class WeightNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Inner()
        weight_norm(self.block.a)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def _outside(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * 2


class Unregistered:
    """A callable that is no module."""

    def __call__(self, x: Tensor) -> Tensor:
        return x - 1


class Functions(nn.Module):
    """Work done by functions and by objects that are no modules: it belongs to the calling module."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Inner()
        self.minus = Unregistered()

    def forward(self, x: Tensor) -> Tensor:
        return self.minus(_outside(self.block(x)))


class Compiled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fast = torch.compile(Inner(), backend="eager")
        self.out = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fast(x))


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.linear(x) * (mask > 0).float()


class MaskPerLayer(nn.Module):
    """Every layer computes the same mask; elimination keeps one, which belongs to none of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Module()
        self.stack.layers = nn.ModuleList(_Layer() for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.stack.layers:
            x = layer(x, mask)
        return x


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) / (x.shape[0] * x.shape[1] + 1)


class SizesPerLayer(nn.Module):
    """Every layer computes with the same sizes; the tracer keeps one node for the product, in layer 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Scaled() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Cross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(6, 6)
        self.key = nn.Linear(6, 6)
        self.value = nn.Linear(6, 6)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        scores = torch.softmax(self.query(x) @ self.key(memory).transpose(-1, -2), dim=-1)
        return scores @ self.value(memory) + x


class CrossAttentions(nn.Module):
    """Repeated layers that read two tensors each; what a projection reads is decided by the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 6)
        self.layers = nn.ModuleList(_Cross() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        memory = torch.tanh(self.encoder(x))
        for layer in self.layers:
            x = layer(x, memory)
        return x


def _x(*shape: int) -> dict[str, Tensor]:
    return {"x": torch.randn(*shape)}


MODELS: dict[str, Callable[[], tuple[nn.Module, dict[str, Any]]]] = {
    "gates": lambda: (Gates(), _x(2, 6)),
    "while": lambda: (While(), _x(2, 6)),
    "scan": lambda: (Scan(), _x(4, 2, 6)),
    "shared_slices": lambda: (SharedSlices(), _x(2, 6)),
    "lender": lambda: (Lender(), _x(2, 6)),
    "weight_normed": lambda: (WeightNormed(), _x(2, 6)),
    "functions": lambda: (Functions(), _x(2, 6)),
    "compiled": lambda: (Compiled(), _x(2, 6)),
    "sizes_per_layer": lambda: (SizesPerLayer(), _x(2, 5, 6)),
    "cross_attentions": lambda: (CrossAttentions(), _x(2, 5, 6)),
    "mask_per_layer": lambda: (MaskPerLayer(), {**_x(2, 6), "mask": torch.randn(2, 6)}),
}
