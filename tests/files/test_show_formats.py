"""``htp show`` in all formats, of files with and without tags."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from msgspec import to_builtins
from onnx import helper

from pytest_htp.cli import main
from pytest_htp.format.read import record_of
from pytest_htp.format.serialize import dumps
from tests.compare._records import bert


def model(path: Path, *, tagged: bool = False) -> Path:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="/act/Relu"),
        helper.make_node("Tanh", ["a"], ["y"], name="/head/Tanh"),
    ]
    if tagged:
        for node, tag in zip(nodes, ("/Net/ReLU.act", "/Net/Tanh.head"), strict=True):
            node.metadata_props.add(key="htp.hierarchy.tag", value=tag)
            node.metadata_props.add(key="htp.hierarchy.evidence", value="direct")
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", tensors[:1], tensors[1:])), path)
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    assert main(["show", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def record() -> dict[str, Any]:
    """A baseline that knows what its modules cost, how precise they are and where they run."""
    record = bert()
    record["modules"][0] |= {"flops": 2_000_000, "activation_bytes": 4096}
    return record


def test_a_baseline_shows_what_its_modules_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.json").write_text(dumps(record()), encoding="utf-8")
    assert main(["show", str(tmp_path / "b.json")]) == 0
    assert "2 MFLOP" in capsys.readouterr().out
    values = shown(capsys, tmp_path / "b.json", "--format", "json")
    root = next(row for row in values["modules"] if row["path"] == "")
    assert (root["flops"], root["activation_bytes"]) == (2_000_000, 4096)


def test_a_file_without_tags_is_shown_by_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = shown(capsys, model(tmp_path / "m.onnx"), "--format", "json")
    assert {row["path"]: row["nodes"] for row in values["modules"]} == {"": 0, "act": 1, "head": 1}
    assert values["coverage"] is None  # what has no tags covers nothing


@pytest.mark.parametrize(
    ("overlay", "results"),
    [
        ("tag", {"/act/Relu": {"value": "/Net/ReLU.act"}, "/head/Tanh": {"value": "/Net/Tanh.head"}}),
        ("evidence", {"/act/Relu": {"value": "direct"}, "/head/Tanh": {"value": "direct"}}),
    ],
)
def test_overlays_for_model_explorer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overlay: str, results: dict[str, Any]
) -> None:
    file = model(tmp_path / "m.onnx", tagged=True)
    data = shown(capsys, file, "--format", "model-explorer", "--overlay", overlay)
    assert data == {"net": {"name": overlay, "results": results}}


def test_a_node_without_a_name_has_the_id_that_the_onnx_adapter_gives_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = model(tmp_path / "m.onnx", tagged=True)
    stored = onnx.load(file)
    for node in stored.graph.node:
        node.ClearField("name")
    onnx.save(stored, file)
    data = shown(capsys, file, "--format", "model-explorer", "--overlay", "tag")
    assert list(data["net"]["results"]) == ["<node_0>", "<node_1>"]


def test_an_overlay_of_which_nothing_is_known_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = model(tmp_path / "m.onnx", tagged=True)
    assert main(["show", str(file), "--format", "model-explorer", "--overlay", "sqnr"]) == 2
    assert "--facts BASELINE" in capsys.readouterr().err


def test_precision_and_placement_come_from_a_baseline() -> None:
    from pytest_htp.cli.facts import in_words, module_facts

    quality = {"measured": True, "modules": [{"path": "layers.{0..1}", "sqnr": 42}, {"path": "head", "sqnr": None}]}
    target = {"name": "qnn", "options": {}, "compiled": True,
              "placement": [{"path": "head", "devices": {"qnn": 3, "cpu": 1}}]}  # fmt: skip
    stage = {key: value for key, value in bert().items() if key not in ("schema", "model", "toolchain")}
    stage |= {"name": "int8", "modules": [], "quality": quality}
    facts = module_facts(record_of({**bert(), "modules": [], "stages": [stage], "targets": [target]}))
    assert to_builtins(facts) == {
        "layers.0": {"sqnr": 42}, "layers.1": {"sqnr": 42}, "head": {"placement": {"qnn": 3, "cpu": 1}},
    }  # fmt: skip
    assert in_words(facts["head"]) == ("cpu 1", "qnn 3")
    assert in_words(facts["layers.0"]) == ("SQNR 42 dB",)


@pytest.mark.skipif(importlib.util.find_spec("model_explorer") is None, reason="needs ai-edge-model-explorer")
def test_model_explorer_takes_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from model_explorer import node_data_builder as builder

    data = shown(capsys, model(tmp_path / "m.onnx", tagged=True), "--format", "model-explorer")
    graphs = {}
    for key, graph in data.items():
        results = {name: builder.NodeDataResult(**value) for name, value in graph["results"].items()}
        graphs[key] = builder.GraphNodeData(**{**graph, "results": results})
    said = json.loads(builder.ModelNodeData(graphsData=graphs).to_json_string())
    assert {key: graph["results"] for key, graph in said.items()} == {k: g["results"] for k, g in data.items()}
