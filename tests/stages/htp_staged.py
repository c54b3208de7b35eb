"""One small model through every built-in stage, exported once per session."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.exporter import verification
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult, run_stages
from pytest_htp.parity.result import ParityResult

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


def handed_on(folder: Path, **options: Any) -> tuple[Exported, ParityResult]:
    """What an export hands to its stages: made by a real export, so that many pipelines can start from it."""
    seen: list[tuple[Exported, ParityResult]] = []

    def spy(exported: Exported, parity: ParityResult) -> StagesResult:
        seen.append((exported, parity))
        return StagesResult()

    model, x = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "run_stages", spy)
        HTPExporter(stages=["ort:basic"], **options).export(model, x, folder / "model.onnx")
    return seen[0]


def run_on(
    exported: Exported, parity: ParityResult, folder: Path, stages: Sequence[Any], **changes: Any
) -> StagesResult:
    """Stages with a copy of the exported file in ``folder``; ``changes`` are options."""
    path = Path(shutil.copy(exported.path, folder))
    options = replace(exported.options, stages=stages, **changes)
    return run_stages(replace(exported, path=path, options=options), parity)
