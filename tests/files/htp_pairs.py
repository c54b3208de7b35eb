"""Files as people have them: one model by two exporters, before and after a change or a tool."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, *, squashed: bool) -> None:
        super().__init__()
        self.squashed = squashed
        self.norm = nn.LayerNorm(16)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.attention(self.norm(x))
        return x + self.mlp(torch.tanh(mixed) if self.squashed else mixed)


class Encoder(nn.Module):
    """``squashed``: the block that has a tanh more than the others, the planted difference."""

    def __init__(self, squashed: int | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.blocks = nn.ModuleList(Block(squashed=place == squashed) for place in range(2))
        self.head = nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.fc(self.stem(image).mean((2, 3)))


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class LastHidden(nn.Module):
    """A transformers model that takes token ids and gives its last hidden state."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.bert = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.bert(input_ids=ids)[0]


def save(model: nn.Module, path: Path, *, dynamo: bool, opset: int = 18) -> Path:
    images = isinstance(model, ConvNet)
    example = torch.ones(1, 3, 8, 8) if images else torch.ones(1, 6, dtype=torch.int64)
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # dynamo=False is deprecated; files made with it will be around
            torch.onnx.export(
                model.eval(), (example,), path, dynamo=dynamo, opset_version=opset, input_names=["x"],
                output_names=["y"],
            )  # fmt: skip
    finally:
        logging.disable(previous)
    return path


def without_modules(path: Path) -> Path:
    """A copy as a tool may leave it: no metadata, other names for nodes and values."""
    model = onnx.load(path)
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    new = {name: f"t{number}" for number, name in enumerate(n for node in graph.node for n in node.output)}
    for number, node in enumerate(graph.node):
        del node.metadata_props[:]
        node.name = f"n{number}"
        for names in (node.input, node.output):
            names[:] = [name if name in kept else new.get(name, name) for name in names]
    del graph.value_info[:]
    copy = path.with_name(f"bare_{path.name}")
    onnx.save(model, copy)
    return copy
