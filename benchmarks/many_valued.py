"""Small models whose modules and graphs give several values that are easily taken for one another.

Name → what makes the model and its inputs; for ``semantic_mutations.py``, beside the zoo.
"""

# Written as models are written: the result of calling a module is Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Vae(nn.Module):
    """Mean and logarithm of the variance are two halves of one layer's result."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 8), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mean + torch.exp(0.5 * logvar)), mean, logvar


class _Span(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        start, end = self.out(x).split(1, -1)
        return start.squeeze(-1), end.squeeze(-1)


class Answers(nn.Module):
    """Start and end of an answer, from one head, as a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), _Span()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        start, end = self.head(torch.tanh(self.body(x)))
        return {"start": start, "end": end, "length": end - start}


class _Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classes, self.boxes = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(x), self.boxes(x)


class Detector(nn.Module):
    """Class and box heads that the root's own code reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.heads = nn.Conv2d(3, 4, 3, 2, 1), _Towers()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores, boxes = self.heads(F.relu(self.stem(x)))
        low, high = boxes.flatten(2).split(2, 1)
        best, place = scores.flatten(2).softmax(1).max(1)
        return {"scores": best, "labels": place, "from": low, "size": high - low}


class States(nn.Module):
    """Hidden state and cell of an LSTM, both ways of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.gru = nn.GRU(5, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, (h, c) = self.lstm(x)
        z, last = self.gru(y)
        return self.head(h[-1]) - torch.tanh(c[-1]).sum(-1, keepdim=True), z, last[0], last[1], h, c


class Best(nn.Module):
    """TopK, maxima and minima with their places."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.cost = nn.Linear(6, 9), nn.Linear(6, 9)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b = self.score(x), self.cost(x)
        best, place = a.topk(3, -1)
        least, where = b.topk(3, -1, largest=False)
        return best - least, place, where, a.gather(-1, where), b.gather(-1, place), a.max(-1)[1], b.argmin(-1)


class Cell(nn.Module):
    """The four gates of a recurrent cell written by hand, gated units, and a sum of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.up = nn.Linear(10, 16), nn.Linear(4, 12)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        i, f, g, o = self.gates(torch.cat([x, h], -1)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        q, k, v = self.up(h).split(4, -1)
        return h, c, F.glu(torch.cat([q - k, v], -1), -1)


class Siamese(nn.Module):
    """One encoder called for a question and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, question: Tensor, answer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, a = self.encoder(question), self.encoder(answer)
        return self.head(q - 2 * a), q, a


class Pyramid(nn.Module):
    """Outputs of several levels, two of each level, in a list of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)])
        self.heads = nn.ModuleList([_Towers() for _ in range(3)])

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        found = []
        for down, head in zip(self.down, self.heads, strict=True):
            x = F.relu(down(x))
            found.append(head(x))
        return found


class Loops(nn.Module):
    """Two states carried around a loop and a scan, and two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        from torch._higher_order_ops.scan import scan

        def step(h: tuple[Tensor, Tensor], t: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            fast, slow = torch.tanh(self.a(h[0]) + t), 0.9 * h[1] + 0.1 * t
            return (fast, slow), fast - slow

        (fast, slow), all_steps = scan(step, (torch.zeros(2, 4), torch.ones(2, 4)), x, dim=0)
        chosen = torch.cond(y.sum() > 0, lambda t: self.b(t) - 1, lambda t: torch.sin(self.b(t)), (y,))
        return fast, slow, all_steps, chosen


class Kinds(nn.Module):
    """Operators whose attributes decide: einsum, padding, resampling, scattering, reducing, casting, tables."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(2, 3, 3, 2, 1, 1)
        self.register_buffer("rows", torch.tensor([2, 0]), persistent=False)

    def forward(self, x: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        grid = F.affine_grid(torch.eye(2, 3).expand(2, 2, 3) * 0.7, [2, 2, 4, 4], align_corners=False)
        flat = x.flatten(2)
        return (
            torch.einsum("bij,bkj->bik", m, m * 2 + 1),
            F.pad(x, (1, 1, 2, 0), mode="reflect") - F.pad(x, (1, 1, 2, 0)),
            F.interpolate(x, scale_factor=2, mode="bilinear"),
            F.interpolate(x, size=(3, 7), mode="nearest"),
            F.grid_sample(x, grid, align_corners=False),
            self.conv(x),
            flat.mean(1, keepdim=True) + flat.std(-1, keepdim=True),
            torch.zeros(2, 4, 5).scatter_add(1, self.rows.reshape(1, 2, 1).expand(2, 2, 5), m[:, :2, :5]),
            m.index_put((torch.tensor([0]), torch.tensor([1])), m[1, 2], accumulate=True),
            F.pixel_shuffle(x.repeat(1, 2, 1, 1), 2),
            F.one_hot((m[..., 0] > 0).long(), 3).float() * m[..., :1],
            m.cumsum(1) - m.flip(1),
            (m * 3).to(torch.int32).to(torch.float32) + m.half().float(),
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            m.clamp(-0.3, 0.6).log_softmax(1),
        )


def _random(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _questions() -> tuple[nn.Module, Any]:
    from transformers import BertConfig, BertForQuestionAnswering

    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=99)
    return BertForQuestionAnswering(config), None


def _boxes() -> tuple[nn.Module, Any]:
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=[32, 32],
        patch_size=8, num_detection_tokens=4,
    )  # fmt: skip
    return YolosForObjectDetection(config), None


Made = tuple[nn.Module, Any]

MODELS: dict[str, Callable[[], Made]] = {
    "vae": lambda: (Vae(), _random((2, 6))),
    "answers": lambda: (Answers(), _random((2, 5, 6))),
    "detector": lambda: (Detector(), _random((2, 3, 8, 8))),
    "states": lambda: (States(), _random((2, 5, 6))),
    "best": lambda: (Best(), _random((2, 6))),
    "cell": lambda: (Cell(), _random((2, 6), (2, 4), (2, 4))),
    "siamese": lambda: (Siamese(), _random((2, 6), (2, 6))),
    "pyramid": lambda: (Pyramid(), _random((2, 3, 8, 8))),
    "loops": lambda: (Loops(), _random((5, 2, 4), (2, 4))),
    "operator_kinds": lambda: (Kinds(), _random((2, 2, 4, 4), (2, 4, 6))),
    "bert_questions": _questions,
    "yolos_boxes": _boxes,
}
