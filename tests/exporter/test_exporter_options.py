"""Bad options are refused before anything runs, and what an exporter did not do as asked is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError


@pytest.mark.parametrize("config", [{"max_tree_deth": 3}, {"max_tree_depth": 0}, ["max_tree_depth"]])
def test_a_bad_monitor_config_is_refused_at_once(config: object) -> None:
    with pytest.raises(ValueError, match=r"known: max_tree_depth .*, enable_cache"):
        HTPExporter(config=config)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"input": {5: "n"}}, r"dynamic_shapes\['input'\] names axis 5; the axes of that input are 0, 1"),
        ({"input": {-1: "n"}}, r"dynamic_shapes\['input'\] names axis -1; the axes"),  # torch leaves it out in silence
        ({"input": {"0": "n"}}, r"dynamic_shapes\['input'\] names axis '0'; the axes"),
        (({2: "n"},), r"dynamic_shapes\[0\] names axis 2; the axes"),
    ],
)
def test_an_axis_that_an_input_does_not_have_is_refused(tmp_path: Path, shapes: object, message: str) -> None:
    exporter = HTPExporter(dynamic_shapes=shapes, verbose=False)
    with pytest.raises(HTPExportError, match=message):
        exporter.export(nn.Linear(4, 4), torch.ones(2, 4), tmp_path / "m.onnx")


def test_an_axis_in_a_nested_input(tmp_path: Path) -> None:
    class Nested(nn.Module):
        def forward(self, pair: dict[str, torch.Tensor]) -> torch.Tensor:
            return pair["a"] + pair["b"]

    inputs = {"pair": {"a": torch.ones(2, 4), "b": torch.ones(2, 4)}}
    shapes = {"pair": {"a": {0: "n"}, "b": {2: "n"}}}
    with pytest.raises(HTPExportError, match=r"dynamic_shapes\['pair'\]\['b'\] names axis 2"):
        HTPExporter(dynamic_shapes=shapes, verbose=False).export(Nested(), inputs, tmp_path / "m.onnx")
    shapes["pair"]["b"] = {0: "n"}
    export = HTPExporter(dynamic_shapes=shapes, verbose=False).export(Nested(), inputs, tmp_path / "m.onnx")
    assert [row["dims"] for row in export.record["inputs"]] == [["n", 4], ["n", 4]]


def test_descriptions_inside_of_containers(tmp_path: Path) -> None:
    class Nested(nn.Module):
        def forward(self, pair: dict[str, Any]) -> torch.Tensor:
            return pair["a"] + pair["more"][0][:1]

    inputs = {"pair": {"a": "float32[batch=3, 4]", "more": ["float32[n=2, 4]"]}}
    export = HTPExporter(verbose=False).export(Nested(), inputs, tmp_path / "m.onnx")
    assert [row["dims"] for row in export.record["inputs"]] == [["batch", 4], ["n", 4]]
    assert export.record["parity"]["failed"] == []
    assert set(export.parity.input_sets) == {"other sizes"}
    other = {"pair": {"a": "float32[n=3, 4]", "more": ["float32[n=2, 4]"]}}
    with pytest.raises(HTPExportError, match=r"'n' has size 3 in .*pair\['a'\].* and 2 in .*pair\['more'\]\[0\]"):
        HTPExporter(verbose=False).export(Nested(), other, tmp_path / "m.onnx")


def test_an_opset_that_the_exporter_did_not_write_is_told(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"opset_version=99 was asked for, the exporter wrote opset \d+"):
        export = HTPExporter(opset_version=99, verbose=False).export(
            nn.Linear(4, 4), torch.ones(2, 4), tmp_path / "m.onnx"
        )
    assert export.record["opset"][""] < 99
