"""A cast in one block keeps ONNX Runtime from fusing: said of the stage, and what the export says of itself once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from htp_staged import Block, make
from torch import nn

from pytest_htp import HTPExporter, compare_exports


class Through(nn.Module):
    """A block whose sum goes through another element type and back before it is normalized."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm, self.up, self.act, self.down = block.norm, block.up, block.act, block.down
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm((x + self.down(self.act(self.up(x)))).to(self.dtype).float())


Through.__name__ = Through.__qualname__ = "Block"  # the same class with one line more


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    made = {}
    for name, dtype in {"plain": None, "double": torch.float64, "half": torch.float16}.items():
        model, x = make()
        if dtype is not None:
            model.layer[1] = Through(model.layer[1], dtype)
        path = tmp_path_factory.mktemp(name) / "model.onnx"
        made[name] = HTPExporter(stages=["ort:extended"]).export(model, x, path).record
    return made


@pytest.mark.parametrize("name", ["double", "half"])
def test_a_fusion_lost_to_a_cast_names_the_module_and_the_stage(records: dict[str, Any], name: str) -> None:
    findings = compare_exports(records["plain"], records[name], policy="parity.worse:ignore").findings
    assert {(finding.code, finding.module, finding.stage) for finding in findings} == {
        ("fusion.lost", "layer.1.norm", "ort:extended"),
        ("dtype.internal", "layer.1", None),
    }
    lost = next(finding for finding in findings if finding.code == "fusion.lost")
    assert "SkipLayerNormalization 1 -> 0" in lost.message


def test_back_again_it_is_a_gain(records: dict[str, Any]) -> None:
    findings = compare_exports(records["double"], records["plain"]).findings
    assert ("fusion.gained", "layer.1.norm", "ort:extended") in {(f.code, f.module, f.stage) for f in findings}
    assert not [f for f in findings if f.stage is not None and f.code != "fusion.gained"]
