"""What the exporter records elsewhere than PyTorch ran it contradicts nobody: weights that another module computes
(``torch.func.functional_call``), views that are computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter


class Generated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(3, 20)
        self.block = nn.Sequential(nn.Linear(4, 5), nn.ReLU())

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        weights = {"0.weight": self.generator(z).reshape(5, 4), "0.bias": torch.zeros(5)}
        y: torch.Tensor = torch.func.functional_call(self.block, weights, (x,))
        return y


def test_generated_weights_are_what_a_call_takes(tmp_path: Path) -> None:
    made = HTPExporter().export(Generated(), (torch.randn(2, 4), torch.randn(3)), tmp_path / "m.onnx")
    assert made.attestation["contradicted"] == []
    assert {"generator", "block.0"}.isdisjoint(entry["module"] for entry in made.attestation["unmatched"])


class Swap(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


class Viewed(nn.Module):
    """The activation writes in place: functionalization computes the view again where the linear layer reads it."""

    def __init__(self, view: nn.Module, width: int) -> None:
        super().__init__()
        self.conv, self.act, self.view = nn.Conv1d(3, 8, 1), nn.Hardswish(inplace=True), view
        self.classifier = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.classifier(self.view(self.act(self.conv(x))))


@pytest.mark.parametrize(("view", "width"), [(nn.Flatten(1), 40), (Swap(), 8)], ids=["flatten", "transpose"])
def test_a_view_that_is_recorded_as_its_readers(view: nn.Module, width: int, tmp_path: Path) -> None:
    made = HTPExporter(verbose=False).export(Viewed(view, width), (torch.randn(2, 3, 5),), tmp_path / "m.onnx")
    assert list(made.tags.values()).count("/Viewed/Linear.classifier") > 1  # more than its own Gemm or MatMul
    assert made.attestation["contradicted"] == []
    assert {"classifier", "conv"}.isdisjoint(entry["module"] for entry in made.attestation["unmatched"])
