"""What the built-in stages leave: files, tags, records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
from htp_staged import PIPELINES, make

from pytest_htp import HTPExport, HTPExporter, HTPStage, Stage
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult
from pytest_htp.format.read import record_of
from pytest_htp.format.serialize import dumps
from pytest_htp.parity.result import ParityResult
from pytest_htp.tagging.read import read_tagging

Pipelines = dict[str, StagesResult]


def stages_of(pipelines: Pipelines) -> list[HTPStage]:
    return [stage for export in pipelines.values() for stage in export.stages.values()]


def test_every_stage_is_there_in_order_and_none_failed(pipelines: Pipelines) -> None:
    assert {name: list(export.stages) for name, export in pipelines.items()} == PIPELINES
    assert [result.failure for result in pipelines.values()] == [None] * len(PIPELINES)


def test_every_node_has_a_tag_and_the_file_holds_it(pipelines: Pipelines) -> None:
    for stage in stages_of(pipelines):
        onnx.checker.check_model(str(stage.onnx_path), full_check=True)
        embedded = read_tagging(ir.load(stage.onnx_path))
        assert embedded.tags == stage.tags
        assert embedded.coverage == stage.coverage
        assert stage.coverage.coverage == 100


def test_fused_operators_are_where_their_weights_are(pipelines: Pipelines) -> None:
    stage = pipelines["optimized"].stages["ort:extended"]
    gemms = [key for key, node in stage.nodes.items() if node["op_type"] == "Gemm"]
    assert {stage.tags[key].rsplit("/", 1)[1] for key in gemms} == {"Linear.up", "Linear.down", "Linear.head"}
    assert {stage.nodes[key]["evidence"] for key in gemms} == {"fused"}


def test_what_quantizes_is_inferred(pipelines: Pipelines) -> None:
    stage = pipelines["static"].stages["int8:qdq"]
    put_in = {"QuantizeLinear", "DequantizeLinear"}
    assert {node["evidence"] for node in stage.nodes.values() if node["op_type"] in put_in} == {"inferred"}
    assert {node["evidence"] for node in stage.nodes.values() if node["op_type"] == "MatMul"} == {"direct"}


def test_weights_are_dequantized_in_the_module_that_owns_them(pipelines: Pipelines) -> None:
    stage = pipelines["static"].stages["int8:qdq"]
    found = {
        facts.path
        for facts in read_tagging(stage.program).nodes
        if facts.node.op_type == "DequantizeLinear"
        and facts.node.inputs[0] is not None
        and facts.node.inputs[0].is_initializer()
    }
    assert {"layer.0.up", "layer.0.down", "layer.1.up", "layer.1.norm", "head"} <= found


def test_the_record_of_a_stage_folds_its_layers(pipelines: Pipelines) -> None:
    for stage in stages_of(pipelines):
        assert stage.record["untagged"]["nodes"] == 0
        layers = {row["path"] for row in stage.record["modules"] if "layer" in row["path"]}
        assert layers >= {"layer.{0..1}.up", "layer.{0..1}.down"}


def test_the_record_of_an_export_holds_its_stages(exported: HTPExport) -> None:
    record = record_of(json.loads(dumps(exported.record)))
    assert [stage.name for stage in record.stages] == list(exported.stages) == PIPELINES["static"]
    assert "onnxruntime" in record.toolchain


def test_console_metadata_and_report_tell_of_each_stage(exported: HTPExport) -> None:
    assert [stage["name"] for stage in exported.metadata["stages"]] == PIPELINES["static"]
    report = exported.report_path.read_text("utf-8")
    for name in PIPELINES["static"]:
        assert re.search(rf"stage +{name} +. completed in", exported.console)
        assert re.search(rf"^{name} +completed", report, re.MULTILINE)
    assert "QuantizeLinear inserted" in exported.console.replace("\n", " ")


def test_a_tool_that_renames_everything_is_followed_by_weights_and_values(
    handed: tuple[Exported, ParityResult], staged: Callable[..., StagesResult]
) -> None:
    def rename(source: Path, destination: Path) -> None:
        model = ir.load(source)
        for number, made in enumerate(model.graph):
            made.name = f"n{number}"
            for value in made.outputs:
                if not value.is_graph_output():
                    value.name = f"v{number}"
        ir.save(model, destination)

    stage = staged([Stage("renamer", rename)]).stages["renamer"]
    assert list(stage.tags.values()) == list(handed[0].tagging.tags.values())


def test_quality_falls_with_precision_and_quantized_stages_are_not_judged_by_tolerances(pipelines: Pipelines) -> None:
    half, static = pipelines["half"].stages["fp16"], pipelines["static"].stages["int8:qdq"]
    optimized = pipelines["optimized"].stages["ort:basic"]
    assert optimized.quality["head"] > half.quality["head"] > static.quality["head"] > 10
    assert static.record["parity"]["failed"] == []
    assert static.record["quality"]["measured"]


def test_optimized_graphs_compute_what_pytorch_does(pipelines: Pipelines) -> None:
    for name in PIPELINES["optimized"]:
        stage = pipelines["optimized"].stages[name]
        assert stage.parity.measured
        assert stage.parity.failed == []
        assert stage.attestation["contradicted"] == []
        assert stage.attestation["attested"] >= 6


def test_a_tool_that_needs_no_weights_gets_none(tmp_path: Path) -> None:
    def rename(source: Path, destination: Path) -> None:
        model = onnx.load(source)
        for number, made in enumerate(model.graph.node):
            made.name = f"n{number}"
        onnx.save(model, destination)

    model, x = make()
    export = HTPExporter(stages=[Stage("renamer", rename)], weights="none").export(model, x, tmp_path / "model.onnx")
    assert export.stage_failure is None
    assert list(export.stages["renamer"].tags.values()) == list(export.tags.values())
