"""What a forward pass costs: floating-point operations by the formulas of ``torch.utils.flop_counter``.

:class:`Flops` counts as ``FlopCounterMode`` does: the same operators, the same formulas, the same decomposition of
operators without one. It differs in three places, all of them on purpose:

- ``FlopCounterMode`` runs both branches of a ``torch.cond`` and no loop; here control flow runs as it would without
  counting, so that the modules which are seen to run are those that run. What it computes is not counted.
- On the CPU, attention runs in a kernel that ``flop_counter`` has no formula for (it has one for each of the kernels of
  a GPU). It is counted by that formula, apart: see ``attention``.
- Kernels that hide products of matrices, and that not every machine has (an LSTM in oneDNN), make the count unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_htp.capture.kept import Kept
from pytest_htp.capture.wrapped import plain_parts
from pytest_htp.vocabulary import Cost

# Named as text: not every build of torch has each of them.
_ATTENTION = frozenset({"aten::_scaled_dot_product_flash_attention_for_cpu"})
_OPAQUE = frozenset(
    {
        "aten::mkldnn_rnn_layer",
        "aten::_cudnn_rnn",
        "aten::miopen_rnn",
        "aten::_transformer_encoder_layer_fwd",
        "aten::_native_multi_head_attention",
    }
)
# Asked of a tensor, not computed (they have no kernel to decompose).
_QUESTIONS = frozenset(
    {
        "aten::sym_is_contiguous", "aten::is_contiguous", "aten::is_strides_like_format",
        "aten::is_non_overlapping_and_dense", "aten::size", "aten::sym_size", "aten::stride", "aten::sym_stride",
        "aten::storage_offset", "aten::sym_storage_offset", "aten::numel", "aten::sym_numel", "aten::dim",
        "prim::layout", "prim::device",
    }
)  # fmt: skip

_attention_flops: Callable[..., object] = flop_counter.sdpa_flop_count  # torch doesn't type it


class Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered; a module's share is what was added between its call and its return.

    Args:
        kept: is notified of writes before they happen, since no other mode sees every operator.

    Attributes:
        counted: floating-point operations so far, one multiply-add is two.
        attention: those of attention on the CPU, which ``torch.utils.flop_counter`` doesn't count there.
        unknown: how many operators ran whose operations can't be determined.
    """

    supports_higher_order_operators = True  # or torch refuses them while the mode is on

    def __init__(self, kept: Kept | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept
        self.counted = 0
        self.attention = 0
        self.unknown = 0
        self._formulas = flop_counter.FlopCounterMode(display=False).flop_registry
        self._primitive: set[OpOverload] = set()  # operators that don't decompose: asking is slow

    @property
    def totals(self) -> tuple[int, int, int]:
        """What was counted so far, for :meth:`since`."""
        return self.counted, self.attention, self.unknown

    def since(self, before: tuple[int, int, int], returned: Iterable[torch.Tensor]) -> Cost:
        """The cost of a call that began when ``before`` had been counted and returned these tensors."""
        counted, attention, unknown = (now - then for now, then in zip(self.totals, before, strict=True))
        known = not unknown
        return Cost(counted if known else None, attention if known else None, tensor_bytes(returned))

    def __torch_dispatch__(
        self,
        func: OpOverload | HigherOrderOperator,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if not isinstance(func, OpOverload):  # control flow
            return self._unseen(func, args, kwargs)
        name = func._schema.name
        if name in _QUESTIONS:
            return NotImplemented
        if self._kept is not None and func._schema.is_mutable:
            for tensor in _written(func, args, kwargs):
                self._kept.before_write(tensor)
        packet = func.overloadpacket
        if func not in self._primitive and packet not in self._formulas and name not in _ATTENTION:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            self._primitive.add(func)
        result = func(*args, **kwargs)
        if packet in self._formulas:
            self.counted += self._known(self._formulas[packet](*args, **kwargs, out_val=result))
        elif name in _ATTENTION:
            shapes = (tensor.shape for tensor in args[:3] if isinstance(tensor, torch.Tensor))
            self.attention += self._known(_attention_flops(*shapes))
        elif name in _OPAQUE:
            self.unknown += 1
        return result

    def _unseen(self, func: HigherOrderOperator, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        """Run what has operators inside that this mode is not shown."""
        if self._kept is None:
            return func(*args, **kwargs)
        before, self._kept.blind = self._kept.blind, True
        try:
            return func(*args, **kwargs)
        finally:
            self._kept.blind = before

    def _known(self, flops: object) -> int:
        """The number; 0, and one more unknown, where a size depends on values."""
        if type(flops) is int:
            return flops
        self.unknown += 1
        return 0


def _written(func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Iterator[torch.Tensor]:
    """Tensors that an operator writes to, by its schema."""
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[index] if index < len(args) else kwargs.get(argument.name)
            for tensor in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(tensor, torch.Tensor):
                    yield tensor


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> int | None:
    """Bytes of distinct tensors by shape and element type; None where a size depends on values."""
    distinct = {id(tensor): tensor for tensor in tensors}.values()
    sizes = [part.numel() * part.element_size() for tensor in distinct for part in plain_parts(tensor)]
    return sum(sizes) if all(type(size) is int for size in sizes) else None
