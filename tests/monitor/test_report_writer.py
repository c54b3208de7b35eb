from __future__ import annotations

from collections.abc import Callable

from pytest_htp import HTPExportData, HTPReportWriter


def report(data: HTPExportData) -> str:
    writer = HTPReportWriter()
    writer.finish(data)
    return writer.get_report()


def test_the_report_holds_model_inputs_hierarchy_tagging_nodes_and_timings(
    export_data: HTPExportData,
) -> None:
    text = report(export_data)
    for line in (
        "Export report: BertModel",
        "Result: completed",
        "4/8 model_tracing        completed    0.50 s",
        "    total                             4.21 s",
        "parameters:            4,385,920",
        "input_ids  INT64 [batch, 16]",
        "last_hidden_state  FLOAT [batch, ?, 128]",
        "opset ai.onnx:         18",
        "external data size:    17.5 MB",
        "direct:                81",
        "coverage:              99.08%",
        "    name last_hidden_state  max_abs 1e-05  max_rel 1e-04",
        "not measured: onnxruntime is not installed",
        "   `- layer.{0..11} BertLayer x12 | 8 nodes each: 6 direct, 2 fused",
        "node_4  Add  /BertModel/BertEmbeddings.embeddings  [fused]",
        "lost  Shape  (no tag)  [none]",
    ):
        assert line in text.splitlines(), line
    assert "Errors" not in text
    assert text.isascii()


def test_every_node_is_listed(new_data: Callable[..., HTPExportData]) -> None:
    data = new_data(layers=40)
    data.tagged_nodes["only tagged"] = "/BertModel"
    nodes = report(data).split("\nNodes (key, operator, tag, evidence)\n")[1].splitlines()[1:]
    assert [line.split("  ")[0] for line in nodes] == [*data.node_details, "only tagged"]


def test_an_empty_report_claims_nothing() -> None:
    text = report(HTPExportData())
    assert "Result: incomplete" in text
    assert text.count("not reached") == 8
    for unknown in ("0", "coverage", "Hierarchy", "Nodes", "seconds"):
        assert unknown not in text.replace("/8", "")


def test_errors_keep_their_lines_and_no_control_characters() -> None:
    data = HTPExportData(errors=[{"step": "onnx_export", "type": "E", "message": "one\n\x1b[31mtwo"}])
    assert "onnx_export: E: one\n    \\x1b[31mtwo\n" in report(data)
    assert "Result: failed\n" in report(data)
