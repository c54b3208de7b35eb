"""Stages that can't be asked for, and stages that fail: one message each, and what came before is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from htp_staged import make

from pytest_htp import HTPExporter, HTPUsageError, Stage, compare_exports
from pytest_htp.exporter.staging import StagesResult, summary
from pytest_htp.parity.result import ParityResult

Staged = Callable[..., StagesResult]


def copy(source: Path, destination: Path) -> None:
    shutil.copy(source, destination)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stages": ["ort:extendet"]},
            r"unknown stage 'ort:extendet' \(did you mean 'ort:extended'\?\); known",
        ),
        ({"stages": [3]}, r"unknown stage 3; known: 'ort:basic'"),
        ({"stages": "fp16"}, r"must be a list, like stages=\['ort:extended'\], got 'fp16'"),
        ({"stages": ["fp16", "fp16"]}, r"stage 'fp16' is given twice"),
        ({"stages": [Stage("slim", copy), Stage("slim", copy)]}, r"stage 'slim' is given twice"),
        ({"stages": ["fp16"], "weights": "none"}, r"stage 'fp16' works on weights"),
        ({"calibration": [torch.ones(2)]}, r"calibration is for the stage 'int8:qdq', which is not in stages"),
        ({"stages": ["int8:qdq"], "calibration": {"x": 1}}, r"must be a list of input sets, got dict"),
    ],
)
def test_what_can_not_be_asked_for_lists_what_is_known(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        HTPExporter(**options)


@pytest.mark.parametrize(("name", "message"), [("", "printable text"), ("fp16", "is built in"), ("a\nb", "printable")])
def test_names_of_stages(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stage(name, copy)


def test_a_stage_needs_a_function() -> None:
    with pytest.raises(HTPUsageError, match="needs a function of two paths"):
        Stage("slim", "onnxslim")  # type: ignore[arg-type]


def raises(source: Path, destination: Path) -> None:
    print("about to fail")
    raise RuntimeError("no kernel\nfor this")


def wraps(source: Path, destination: Path) -> None:
    try:
        raise KeyError("scale")
    except KeyError as error:
        raise RuntimeError("can't convert") from error


def leaves(source: Path, destination: Path) -> None:
    sys.exit(3)


def garbage(source: Path, destination: Path) -> None:
    destination.write_bytes(b"not a model")


def unsorted(source: Path, destination: Path) -> None:
    model = onnx.load(source)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    onnx.save(model, destination)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raises, "stage mine failed: RuntimeError: no kernel for this"),
        (wraps, "stage mine failed: RuntimeError: can't convert, because of KeyError: 'scale'"),
        (leaves, "stage mine failed: SystemExit: 3"),
        (lambda source, destination: None, "stage mine failed: it wrote no file"),
        (lambda source, destination: destination.write_bytes(b""), "stage mine failed: it wrote an empty file"),
        (garbage, "stage mine failed: it wrote an invalid model"),
        (unsorted, "stage mine failed: it wrote an invalid model"),
    ],
)
def test_a_stage_that_fails_ends_the_pipeline_and_keeps_what_came_before(
    staged: Staged, tmp_path: Path, function: Callable[[Path, Path], object], message: str
) -> None:
    result = staged(["ort:basic", Stage("mine", function), "fp16"], parity=ParityResult.not_measured("off"))
    assert str(result.failure).startswith(message)
    assert result.failure is not None
    assert result.failure.stage == "mine"
    assert list(result.stages) == ["ort:basic"]
    assert [stage["status"] for stage in result.described] == ["completed", "failed", "skipped"]
    assert sorted(path.name for path in tmp_path.glob("*.onnx")) == ["model.onnx", "model.ort-basic.onnx"]


def test_what_a_stage_prints_is_in_its_notes(staged: Staged) -> None:
    assert staged([Stage("mine", raises)]).described[0]["notes"] == ["about to fail"]


def other(source: Path, destination: Path) -> None:
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1:
            values = torch.randn(tuple(tensor.dims), generator=torch.Generator().manual_seed(7)).numpy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, destination)


def test_an_unrelated_model_carries_nothing_and_says_so(staged: Staged) -> None:
    stage = staged([Stage("other", other)], parity=ParityResult.not_measured("off")).stages["other"]
    assert stage.coverage.coverage == 0
    assert stage.tags == {}
    assert "unrelated" in stage.summary


def test_no_module_is_made_responsible_for_the_values_of_an_unrelated_model(tmp_path: Path) -> None:
    model, x = make()
    record = HTPExporter(stages=[Stage("other", other)]).export(model, x, tmp_path / "model.onnx").record
    (finding,) = compare_exports(record, record).findings
    assert (finding.code, finding.module, finding.stage) == ("parity.failed", None, "other")
    assert finding.message.endswith("; no node could be led back to a module: was this made of the export?")


def test_an_unrelated_model_with_other_inputs_says_both(staged: Staged) -> None:
    def another(source: Path, destination: Path) -> None:
        weight = onnx.numpy_helper.from_array(torch.ones(9, 9).numpy(), "w")
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3, 9]) for name in "ab"]
        nodes = [onnx.helper.make_node("MatMul", ["a", "w"], ["b"])]
        graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
        opsets = [onnx.helper.make_opsetid("", 18)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), destination)

    message = str(staged([Stage("other", another)]).failure)
    assert "graph input 'a' (FLOAT, [3,9]) fits none of the tensors given" in message
    assert message.endswith("; no node could be led back to a module: was this made of the export?")


def test_every_cause_of_a_node_without_a_module_is_in_the_line_of_its_stage(staged: Staged) -> None:
    last = staged([Stage("other", other)], parity=ParityResult.not_measured("off")).last
    assert last is not None
    last.nodes[0].cause = "what it converts has no module"
    said = summary(last, last)
    assert "15 unrelated: it has other weights than the tagged graph, 1 what it converts has no module" in said


def test_a_calibration_set_that_does_not_fit_is_named(tmp_path: Path) -> None:
    model, x = make()
    exporter = HTPExporter(stages=["ort:basic", "int8:qdq"], calibration=[x, {"y": x}], parity=False)
    export = exporter.export(model, x, tmp_path / "model.onnx")
    assert list(export.stages) == ["ort:basic"]
    assert str(export.stage_failure).startswith("stage int8:qdq failed: calibration, set 2: ")
    assert "stage int8:qdq failed" in export.console
    assert export.onnx_path.exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["a"]), "calibration, set 2: input 'x' is an array of <U1, which no tensor can hold"),
        (np.full((2, 8, 16), np.nan, np.float32), "calibration, set 2: 'x' holds NaN, of which no scale can be made"),
    ],
    ids=["text", "NaN"],
)
def test_calibration_with_something_else_than_numbers(staged: Staged, array: Any, message: str) -> None:
    _, x = make()
    result = staged(["ort:basic", "int8:qdq"], calibration=[x, {"x": array}])
    assert list(result.stages) == ["ort:basic"]
    assert str(result.failure).startswith(f"stage int8:qdq failed: {message}")


def test_a_tool_may_put_weights_beside_its_file(staged: Staged) -> None:
    def beside(source: Path, destination: Path) -> None:
        onnx.save(
            onnx.load(source), destination,
            save_as_external_data=True, location=f"{destination.name}.data", size_threshold=0,
        )  # fmt: skip

    result = staged([Stage("beside", beside), "ort:basic"])
    assert result.failure is None
    assert result.stages["beside"].parity.failed == []
    assert not result.stages["beside"].onnx_path.with_name("model.beside.onnx.data").exists()


def test_an_empty_calibration_set(staged: Staged) -> None:
    result = staged(["int8:qdq"], calibration=[])
    assert str(result.failure).startswith("stage int8:qdq failed: the calibration set is empty; pass calibration=[")


def test_a_missing_package_names_the_extra(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "pytest_htp.stages.built_in", raising=False)
    failure = str(staged(["ort:basic"], parity=ParityResult.not_measured("off")).failure)
    assert "needs the package 'onnxruntime', which is not installed: pip install 'pytest-htp[stages]'" in failure
