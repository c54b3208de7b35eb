"""Quantized stages mean the same on every CPU: nothing in them saturates where ONNX Runtime's fast kernels run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


class Masked(nn.Module):
    """Attention weights with padding masked as transformers does: the lowest finite number is added to scores."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = (1.0 - mask[:, None, :]) * torch.finfo(torch.float32).min
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 4 + hidden
        result: torch.Tensor = torch.softmax(scores, -1) @ self.value(x)
        return result


def test_a_mask_does_not_set_the_scale_of_what_it_masks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = (torch.randn(2, 8, 16) * 2, torch.tensor([[1.0] * 8, [1.0] * 5 + [0.0] * 3]))
    stage = HTPExporter(stages=["int8:qdq"]).export(Masked(), x, tmp_path / "m.onnx").stages["int8:qdq"]
    assert stage.coverage.none == 0
    assert min(stage.output_quality.values()) > 20
    softmax = next(node for node in stage.program.graph if node.op_type == "Softmax")
    assert softmax.inputs[0] is not None
    assert softmax.inputs[0].producer().op_type == "Add"  # type: ignore[union-attr]


def test_a_mask_beyond_half_precision_stays_finite(tmp_path: Path) -> None:
    """The lowest float32 number is no half; as an infinity it would make NaN of what it is multiplied with (0)."""
    torch.manual_seed(0)
    x = (torch.randn(2, 8, 16) * 2, torch.tensor([[1.0] * 8, [1.0] * 5 + [0.0] * 3]))
    stage = HTPExporter(stages=["fp16"]).export(Masked(), x, tmp_path / "m.onnx").stages["fp16"]
    assert min(stage.output_quality.values()) > 50
    stored = [tensor.const_value.numpy() for tensor in stage.program.graph.initializers.values() if tensor.const_value]
    assert all(np.isfinite(array).all() for array in stored if array.dtype.kind == "f")
    assert min(array.min() for array in stored if array.dtype == np.float16) < -1000
