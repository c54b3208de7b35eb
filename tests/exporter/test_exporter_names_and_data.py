"""Options that name the graph's values, place its weights, and translate operators."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError, HTPUsageError


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Linear(4, 4)
        self.far = nn.Linear(4, 4)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.near(a) - b, self.far(b)


INPUTS = (torch.ones(2, 4), torch.zeros(2, 4))


def export(path: Path, model: Any = None, inputs: Any = INPUTS, **options: Any) -> Any:
    return HTPExporter(**options).export(model or Two(), inputs, path / "two.onnx")


def test_chosen_names_are_the_graphs_and_the_records(tmp_path: Path) -> None:
    result = export(tmp_path, input_names=["left", "right"], output_names=["difference", "linear_1"])
    graph = onnx.load(result.onnx_path).graph
    assert [value.name for value in graph.input] == ["left", "right"]
    assert [value.name for value in graph.output] == ["difference", "linear_1"]
    assert [row["name"] for row in result.record["outputs"]] == ["difference", "linear_1"]
    assert (result.parity.measured, result.parity.failed) == (True, [])


def test_fewer_names_leave_the_rest_and_too_many_are_refused(tmp_path: Path) -> None:
    result = export(tmp_path, input_names=["left"], parity=False)
    assert [value.name for value in result.program.graph.inputs] == ["left", "b"]
    with pytest.raises(HTPExportError, match=r"option output_names has 3 names, but the graph has 2: 'sub', "):
        export(tmp_path, output_names=["x", "y", "z"], parity=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_names": "left"}, "option input_names must be a list of names, got 'left'"),
        ({"output_names": ["y", "y"]}, "option output_names has a name twice: y, y"),
        ({"external_data": "yes"}, "option external_data must be True, False or None, got 'yes'"),
        ({"custom_translation_table": [1]}, "option custom_translation_table must map torch operators"),
    ],
)
def test_bad_values_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        HTPExporter(**options)


def test_weights_go_where_they_are_asked_to(tmp_path: Path) -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    inputs = (torch.ones(2, 64),)
    export(tmp_path, Wide(), inputs, external_data=True)
    assert (tmp_path / "two.onnx.data").stat().st_size >= 64 * 64 * 4
    result = export(tmp_path, Wide(), inputs)
    assert not (tmp_path / "two.onnx.data").exists()
    assert result.onnx_path.stat().st_size >= 64 * 64 * 4


@pytest.mark.parametrize("by", ["option", "partial"])
def test_a_users_translation_is_used(tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxscript import opset18 as op

    def twice_sub(a: Any, b: Any, alpha: float = 1.0) -> Any:
        return op.Neg(op.Sub(b, a))

    options: dict[str, Any] = {"custom_translation_table": {torch.ops.aten.sub.Tensor: twice_sub}}
    if by == "partial":  # what a user finds who does not know the option
        monkeypatch.setattr(torch.onnx, "export", functools.partial(torch.onnx.export, **options))
        options = {}
    result = export(tmp_path, **options)
    assert "Neg" in [node.op_type for node in result.program.graph]
    assert not result.parity.failed


def test_a_dict_in_the_last_place_is_an_argument(tmp_path: Path) -> None:
    class Extra(nn.Module):
        def forward(
            self, x: torch.Tensor, extra: dict[str, torch.Tensor] | None = None, a: torch.Tensor | None = None
        ) -> torch.Tensor:
            y = x * 2
            if extra is not None:
                y = y + extra["a"]
            return y if a is None else y - a

    result = export(tmp_path, Extra(), (torch.ones(2, 4), {"a": torch.ones(2, 4)}))
    assert sorted(node.op_type for node in result.program.graph) == ["Add", "Mul"]  # torch alone subtracts
    assert not result.parity.failed
