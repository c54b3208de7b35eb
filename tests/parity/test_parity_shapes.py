"""Outputs run in the shapes that the graph declares, at every size."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, compare_exports
from pytest_htp.parity.shapes import fits_declared

SIZES = {"batch": 3, "time": 6}


@pytest.mark.parametrize(
    ("declared", "ran", "fits"),
    [
        (["batch", 7, 3], (3, 7, 3), True),
        (["batch", 7, 3], (3, 6, 3), False),
        (["batch", "time"], (6, 3), False),
        (["batch", "2*time + 1"], (3, 13), True),
        (["batch", "time // 2"], (3, 6), False),
        (["u0", 4], (17, 4), True),
        (["batch"], (3, 1), False),
        ([None], (8,), True),
    ],
)
def test_declared_shapes(declared: list[int | str | None], ran: tuple[int, ...], fits: bool) -> None:
    value = ir.Value(name="y", shape=ir.Shape(declared))
    assert fits_declared(value, ran, SIZES) is fits


class Recurrent(nn.Module):
    """torch's exporter writes the example's length into the shape that it declares after an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.out(self.rnn(x)[0])
        return y


def test_a_shape_that_is_only_right_at_the_examples_sizes_is_found(tmp_path: Path) -> None:
    made = HTPExporter().export(Recurrent(), {"x": "float32[batch=2, time=7, 6]"}, tmp_path / "m.onnx")
    findings = compare_exports(made.record, made.record).findings
    assert [(finding["code"], finding["module"]) for finding in findings] == [("parity.failed", "out")]
    assert findings[0]["message"] == (
        "output output.0 is declared as [batch, 7, 3] and runs as [3, 6, 3] (with other sizes)"
    )


def test_a_fixed_length_is_no_finding(tmp_path: Path) -> None:
    made = HTPExporter().export(Recurrent(), {"x": "float32[batch=2, 7, 6]"}, tmp_path / "m.onnx")
    assert list(made.parity.input_sets) == ["other sizes"]
    assert made.parity.failed == []
