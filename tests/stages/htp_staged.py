"""One small model through every built-in stage, exported once per session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.exporter import verification
from pytest_htp.exporter.staging import StagesRequest, StagesResult

PIPELINES = {
    "optimized": ["ort:basic", "ort:extended", "ort:all"],
    "half": ["fp16", "ort:extended"],
    "dynamic": ["int8:dynamic"],
    "static": ["int8:qdq", "ort:extended"],
}


class Block(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.act = nn.GELU()
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.down(self.act(self.up(x))))


class Net(nn.Module):
    """Two equal blocks and a head: what a transformer is made of, in 20 nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.layer:
            x = block(x)
        return self.head(x)


def make(seed: int = 0) -> tuple[Net, torch.Tensor]:
    torch.manual_seed(seed)
    model = Net().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # equal biases and norms would be stored once
            parameter.add_(torch.randn_like(parameter) / 8)
    return model, torch.randn(2, 8, 16)


def request_of(folder: Path, **options: Any) -> StagesRequest:
    """What an export hands to its stages: made by a real export, so that many pipelines can start from it."""
    seen: list[StagesRequest] = []

    def spy(request: StagesRequest) -> StagesResult:
        seen.append(request)
        return StagesResult()

    model, x = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "run_stages", spy)
        HTPExporter(stages=["ort:basic"], **options).export(model, x, folder / "model.onnx")
    return seen[0]
