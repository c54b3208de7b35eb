"""A file that onnx refuses fails step 7, with node and module, whatever is switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError, HTPExportStep


class Autocast(nn.Module):
    """Leaves a LayerNormalization whose input is fp16 and whose scale is fp32."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.float16):
            y: torch.Tensor = self.norm(self.linear(x))
        return y


class Swish(nn.Module):
    """An operator that no ONNX Runtime knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            made = torch.onnx.ops.symbolic("com.acme::Swish", [x], {}, dtype=x.dtype, shape=x.shape, version=1)
            assert isinstance(made, torch.Tensor)
            return made
        return x * torch.sigmoid(x)


@pytest.mark.parametrize("options", [{}, {"parity": False}, {"weights": "none"}], ids=["parity", "none", "weightless"])
def test_an_invalid_graph_fails_with_node_and_module(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(HTPExportError, match=r"node node_layer_norm \(LayerNormalization\) of module norm ") as caught:
        HTPExporter(**options).export(Autocast(), torch.randn(2, 8), path)
    assert caught.value.step is HTPExportStep.SAVE
    assert "parity" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("weights", ["real", "none"])
def test_an_operator_of_another_domain_is_valid(tmp_path: Path, weights: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Swish())
    HTPExporter(parity=False, weights=weights).export(model, torch.randn(2, 4), tmp_path / "m.onnx")


def test_an_operator_that_onnxruntime_lacks_names_its_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Swish())
    with pytest.raises(HTPExportError, match=r"of module 1 \(Swish\)(.|\n)*parity=False"):
        HTPExporter().export(model, torch.randn(2, 4), tmp_path / "m.onnx")


def test_a_kernel_that_is_missing_names_its_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4)).bfloat16()
    made = HTPExporter().export(model, torch.randn(2, 4).bfloat16(), tmp_path / "m.onnx")
    assert made.parity.reason is not None
    assert made.parity.reason.endswith("at the types of this model, such as module 0 (Linear)")
