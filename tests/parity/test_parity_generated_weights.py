"""Weights that another module computes (``torch.func.functional_call``) contradict nobody."""

from __future__ import annotations

from pathlib import Path

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
