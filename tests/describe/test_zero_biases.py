"""A bias of zeros that optimization left out is there; one that the code left out is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, compare_exports

LAYERS: dict[str, tuple[nn.Module, torch.Tensor]] = {
    "Linear": (nn.Linear(6, 4), torch.ones(2, 6)),
    "Conv": (nn.Conv2d(3, 4, 3), torch.ones(1, 3, 8, 8)),
    "ConvTranspose": (nn.ConvTranspose1d(3, 4, 3), torch.ones(1, 3, 8)),
}


class Without(nn.Module):
    """Calls its layer without the bias that the layer has."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.layer.forward = self.call  # type: ignore[method-assign]

    def call(self, x: torch.Tensor) -> torch.Tensor:
        functions: dict[str, Any] = {
            "Linear": nn.functional.linear,
            "Conv2d": nn.functional.conv2d,
            "ConvTranspose1d": nn.functional.conv_transpose1d,
        }
        result: torch.Tensor = functions[type(self.layer).__name__](x, self.layer.weight)
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class With(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def _record(kind: type[nn.Module], name: str, bias: float, folder: Path, **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    layer, inputs = LAYERS[name]
    layer.__dict__.pop("forward", None)
    with torch.no_grad():
        layer.bias.fill_(bias)  # type: ignore[operator, union-attr]
    record = HTPExporter(parity=False, verbose=False, **options).export(kind(layer), inputs, folder / "m.onnx").record
    record["model"]["class"] = record["modules"][0]["class"] = "Net"
    return record


@pytest.mark.parametrize("name", LAYERS)
def test_a_bias_of_zeros_is_no_other_program(name: str, tmp_path: Path) -> None:
    zeros = _record(With, name, 0.0, tmp_path)
    for other in (_record(With, name, 0.5, tmp_path), _record(With, name, 0.0, tmp_path, weights="none")):
        assert compare_exports(zeros, other).findings == ()
        assert compare_exports(other, zeros).findings == ()


@pytest.mark.parametrize("name", LAYERS)
def test_a_bias_that_is_not_read_any_more_is_told(name: str, tmp_path: Path) -> None:
    findings = compare_exports(_record(With, name, 0.5, tmp_path), _record(Without, name, 0.5, tmp_path)).findings
    assert [(finding.code, finding.module) for finding in findings if finding.verdict == "drift"] == [
        ("ops.changed", "layer")
    ]
