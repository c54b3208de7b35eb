"""Quantized stages mean the same on every CPU: nothing in them saturates where ONNX Runtime's fast kernels run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pytest_htp import HTPExporter


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(32, 64)
        self.down = nn.Linear(64, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.down(torch.nn.functional.gelu(self.up(x)))
        return result


def test_fast_kernels_give_what_the_quantized_graph_says(tmp_path: Path) -> None:
    """Signed weights lose some 20 dB here on a CPU with AVX2 and no VNNI."""
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(2, 8, 32)
    for quantized in ("int8:qdq", "int8:dynamic"):
        export = HTPExporter(stages=[quantized, "ort:extended"]).export(model, x, tmp_path / "m.onnx")
        exact, fast = (next(iter(stage.output_quality.values())) for stage in export.stages.values())
        assert exact > 25
        assert abs(exact - fast) < 3
        assert all(not stage.attestation["contradicted"] for stage in export.stages.values())
