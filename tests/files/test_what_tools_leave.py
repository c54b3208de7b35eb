"""Files as tools leave them: nodes without names, values without types. Made by hand, no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper, numpy_helper

from pytest_htp.cli import main
from pytest_htp.files.load import load_onnx
from pytest_htp.files.modules import read_modules

FLOAT = onnx.TensorProto.FLOAT


def save(path: Path, nodes: list[NodeProto], *, typed: bool) -> Path:
    """A model over ``x`` [2, 4] → ``y`` [2, 4] with the weight and the bias of ``dense``."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4), dtype=np.float32), "dense.weight"),
        numpy_helper.from_array(rng.standard_normal(4, dtype=np.float32), "dense.bias"),
    ]
    ends = [helper.make_tensor_value_info(name, FLOAT, [2, 4]) for name in ("x", "y")]
    inner = [name for node in nodes for name in node.output if name != "y"]
    known = [helper.make_tensor_value_info(name, FLOAT, [2, 4]) for name in inner] if typed else []
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights, value_info=known)
    onnx.save(helper.make_model(graph), path)
    return path


def node(kind: str, inputs: str, output: str, name: str = "") -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=name)


WRITTEN = [
    node("MatMul", "x dense.weight", "product", "/dense/MatMul"),
    node("Add", "product dense.bias", "sum", "/dense/Add"),
    node("Relu", "sum", "y", "/act/Relu"),
]
MERGED = [node("Gemm", "x dense.weight dense.bias", "sum"), node("Relu", "sum", "y", "/act/Relu")]


def test_a_nameless_node_is_in_the_module_whose_weights_it_reads(tmp_path: Path) -> None:
    path = save(tmp_path / "merged.onnx", MERGED, typed=False)
    found = read_modules(load_onnx(str(path)).model).tagging
    assert [(facts.node.op_type, facts.path) for facts in found.nodes] == [("Gemm", "dense"), ("Relu", "act")]


def test_a_nameless_node_that_reads_no_weight_is_placed_by_the_data_flow(tmp_path: Path) -> None:
    nodes = [*WRITTEN[:2], node("Relu", "sum", "mid"), node("Neg", "mid", "y", "/dense/Neg")]
    found = read_modules(load_onnx(str(save(tmp_path / "m.onnx", nodes, typed=False))).model).tagging
    assert [facts.path for facts in found.nodes] == ["dense"] * 4


def findings(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    main(["compare", str(old), str(new), "--format", "json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def test_types_that_only_one_file_tells_are_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare, typed = (save(tmp_path / f"{flag}.onnx", WRITTEN, typed=flag) for flag in (False, True))
    assert findings(bare, typed, capsys) == []


def test_types_that_both_files_tell_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = save(tmp_path / "old.onnx", WRITTEN, typed=True)
    model = onnx.load(old)
    for value in model.graph.value_info:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "new.onnx")
    assert "dtype.internal" in {finding["code"] for finding in findings(old, tmp_path / "new.onnx", capsys)}


def scoped(kind: str, inputs: str, output: str, module: str = "dense") -> NodeProto:
    """A node as torch.onnx.export(dynamo=True) marks it."""
    made = node(kind, inputs, output, f"node_{kind}")
    for key, value in (("name_scopes", ["", module, "fx"]), ("class_hierarchy", ["M", module.title(), "aten"])):
        made.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=repr(value))
    return made


def test_a_class_that_one_file_does_not_tell_is_no_other_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relu = scoped("Relu", "sum", "y", "act")
    gemm = "Gemm", "x dense.weight dense.bias", "sum"
    before = save(tmp_path / "before.onnx", [scoped(*gemm), relu], typed=True)
    after = save(tmp_path / "after.onnx", [node(*gemm), relu], typed=True)
    for pair in ((before, after), (after, before)):
        assert not {f["code"] for f in findings(*pair, capsys)} & {"module.class_changed", "module.added"}


def test_what_another_finding_was_taken_to_explain_is_said_of_two_exporters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gemm, last = ("Gemm", "x dense.weight dense.bias", "sum"), ("Neg", "mid", "y")
    before = [scoped(*gemm), scoped("Relu", "sum", "mid", "act"), scoped(*last, "act")]
    after = [node(*gemm, "/dense/Gemm"), node("Relu", "sum", "mid", "/dense/Relu"), node(*last, "/act/Neg")]
    files = [save(tmp_path / f"{n}.onnx", nodes, typed=True) for n, nodes in enumerate((before, after))]
    said = {(f["code"], f["module"], f["message"]) for f in findings(files[0], files[1], capsys)}
    assert {
        ("ops.changed", "act", "Relu 1 -> 0 (fused operators written out)"),
        ("ops.changed", "dense", "Relu 0 -> 1 (fused operators written out)"),
    } <= said


def test_small_constants_whose_data_is_missing_are_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = numpy_helper.from_array(np.array([4, 2], np.int64), "shape")
    whole = onnx.load(save(tmp_path / "whole.onnx", [node("Reshape", "x shape", "y", "/dense/Reshape")], typed=True))
    whole.graph.initializer.append(shape)
    onnx.save(whole, tmp_path / "whole.onnx")
    onnx.save(whole, tmp_path / "without.onnx", save_as_external_data=True, location="gone", size_threshold=0)
    (tmp_path / "gone").unlink()
    other = onnx.load(tmp_path / "whole.onnx")
    other.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array([2, 4], np.int64), "shape"))
    onnx.save(other, tmp_path / "other.onnx")
    without, known = tmp_path / "without.onnx", tmp_path / "whole.onnx"
    assert findings(known, without, capsys) == findings(without, known, capsys) == []
    assert [f["code"] for f in findings(known, tmp_path / "other.onnx", capsys)] == ["ops.changed"]


def test_a_small_constant_that_is_nobodys_parameter_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [node("Mul", "x scale", "mid", "/dense/Mul"), node("Neg", "mid", "y", "/act/Neg")]
    files = []
    for scale in (1.0, 2.0):
        files.append(save(tmp_path / f"{scale}.onnx", nodes, typed=True))
        model = onnx.load(files[-1])
        model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), "scale"))
        onnx.save(model, files[-1])
    (found,) = findings(files[0], files[1], capsys)
    assert found["code"] == "weights.values"
    assert "1 of 3 weights hold other values, by up to 1 of their size" in found["message"]


def test_weights_without_a_parameters_name_that_changed_places_hold_other_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["x", *(f"v{place}" for place in range(3)), "y"]
    nodes = [
        node("MatMul", f"{names[place]} val_{place}", names[place + 1], f"/layers.{place}/MatMul") for place in range(4)
    ]
    files = []
    for order in ((0, 1, 2, 3), (0, 2, 1, 3)):
        files.append(save(tmp_path / f"{order[1]}.onnx", nodes, typed=True))
        model = onnx.load(files[-1])
        for place, seed in enumerate(order):
            array = np.random.default_rng(seed).standard_normal((4, 4), dtype=np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, f"val_{place}"))
        onnx.save(model, files[-1])
    (found,) = findings(files[0], files[1], capsys)
    assert found["code"] == "weights.values"
    assert found["message"].startswith("2 of ")
    assert found["message"].endswith("in layers.{1..2}")
