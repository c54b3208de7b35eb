"""Stages, targets, quality and cost on the page: worked out from records, without an export."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from htp_sample_results import build_report, first_page, record, result, row

from pytest_htp.report import shipped
from pytest_htp.report.result import ExportResult
from pytest_htp.report.tree import build_tree, walk

LAYERS = "layers.{0..3}"
NORM = {"LayerNormalization": 1}
SKIP = {"com.microsoft::SkipLayerNormalization": 1}


def graph_rows(norm: dict[str, int], odd: dict[str, int] | None = None) -> list[Any]:
    """Four layers with a norm and a matrix product; the third may have another norm."""
    rows = [row("", "Model", {}, flops=1000, params_bytes=0, activation_bytes=64)]
    folds = {LAYERS: norm} if odd is None else {"layers.{0..1,3}": norm, "layers.2": odd}
    for path, ops in folds.items():
        rows.append(row(f"{path}.norm", "LayerNorm", ops, flops=0, params_bytes=128, activation_bytes=64))
    rows.append(row(f"{LAYERS}.proj", "Linear", {"MatMul": 1}, flops=200, params_bytes=1024, activation_bytes=64))
    return rows


def sample(
    *, odd: dict[str, int] | None = None, quality: dict[str, Any] | None = None, targets: list[Any] | None = None
) -> Any:
    made = record(graph_rows(NORM), "Model")
    after = record(graph_rows(SKIP, odd), "Model")
    stage = {key: after[key] for key in after if key not in ("schema", "model", "toolchain")}
    made["stages"] = [{**stage, "name": "ort:extended", **({"quality": quality} if quality else {})}]
    if targets is not None:
        made["targets"] = targets
    return made


def view_of(now: Any, before: Any = None) -> ExportResult:
    (item,) = build_report([result("t", now, before)], {}).exports
    return item


def test_what_a_stage_did_is_one_line() -> None:
    (stage,) = shipped.stages_view(view_of(sample()))
    said = "LayerNormalization 4 → 0; SkipLayerNormalization 0 → 4; 0 nodes without a module"
    assert (stage.name, stage.did, stage.change) == ("ort:extended", said, "")


def test_a_stages_nodes_are_compared_with_the_baselines() -> None:
    before = sample()
    before["stages"][0]["graph"]["nodes"] += 3
    (stage,) = shipped.stages_view(view_of(sample(), before))
    assert stage.change == "−3"


def test_modules_by_stage_show_what_changed_and_fold() -> None:
    view = shipped.modules_view(view_of(sample(odd={"LayerNormalization": 1, "Cast": 1})))
    assert view is not None
    assert view["columns"] == ["export", "ort:extended"]
    texts = {path: [text for text, _ in cells] for path, cells in view["rows"]}
    assert texts == {
        "layers.{0..1,3}.norm": ["LayerNormalization 1", "SkipLayerNormalization 1"],
        "layers.2.norm": ["LayerNormalization 1", "Cast 1, LayerNormalization 1"],
    }


def test_an_export_without_stages_shows_none() -> None:
    item = view_of(record(graph_rows(NORM), "Model"))
    assert shipped.stages_view(item) == []
    assert shipped.modules_view(item) is None
    assert shipped.targets_view(item) is None
    assert shipped.quality_view(item) == []
    assert "<h4>Stages</h4>" not in first_page(build_report([result("t", record(graph_rows(NORM), "Model"))], {}))


QUALITY = {
    "measured": True,
    "modules": [
        {"path": "layers.{0..1}.proj", "sqnr": 42},
        {"path": "layers.2.proj", "sqnr": 9},
        {"path": "layers.3.proj", "sqnr": None, "reason": "all zero"},
        {"path": "layers.3.norm", "sqnr": 30},
    ],
    "outputs": [{"name": "y", "sqnr": 9}],
}


def test_quality_is_worst_first_with_its_change() -> None:
    before = copy.deepcopy(QUALITY)
    before["modules"][1]["sqnr"] = 36  # type: ignore[index]
    (stage,) = shipped.quality_view(view_of(sample(quality=QUALITY), sample(quality=before)))
    rows = [(entry["path"], entry["text"], entry["before"]) for entry in stage["rows"]]
    assert rows == [
        ("layers.2.proj", "9 dB", "36 dB"),
        ("layers.3.norm", "30 dB", ""),
        ("layers.{0..1}.proj", "42 dB", ""),
    ]
    assert stage["undefined"] == 1
    assert stage["course"] == "0.0,23.0 33.3,23.0 66.7,36.4 100.0,27.9"  # folded rows are several modules


def test_quality_that_was_not_measured_says_why() -> None:
    (stage,) = shipped.quality_view(view_of(sample(quality={"measured": False, "reason": "no calibration data"})))
    assert stage["reason"] == "no calibration data"


def target(**more: Any) -> dict[str, Any]:
    return {"name": "qnn", "options": {"htp_arch": "75"}, "compiled": True, "device": "QNN", **more}


def test_modules_off_the_target_have_a_list_of_their_own() -> None:
    placement = [
        {"path": "layers.{0..3}.norm", "devices": {"CPU": 1}},
        {"path": "layers.{0..3}.proj", "devices": {"QNN": 1}},
    ]
    view = shipped.targets_view(view_of(sample(targets=[target(partitions=5, share=50.0, placement=placement)])))
    assert view is not None
    tables = {title: table["rows"] for title, table in view["tables"].items()}
    assert tables["Modules with nodes elsewhere"] == [("layers.{0..3}.norm", ("CPU 1",))]
    assert ("layers.{0..3}.norm", ("CPU 1",)) in tables["All modules"]


@pytest.mark.parametrize(
    ("fallback", "text"),
    [
        ({"Erf": 1}, "CPU 9, QNN 1 (Erf 1 fell back)"),
        ({"A": 1, "B": 4, "C": 2}, "CPU 9, QNN 1 (B 4, C 2, A 1 fell back)"),
        ({"A": 1, "B": 4, "C": 2, "D": 2}, "CPU 9, QNN 1 (B 4, C 2, D 2 and 1 other kind fell back)"),
    ],
)
def test_operators_that_fell_back_are_named(fallback: dict[str, int], text: str) -> None:
    placement = [{"path": "norm", "devices": {"CPU": 9, "QNN": 1}, "fallback": fallback}]
    view = shipped.targets_view(view_of(sample(targets=[target(partitions=5, share=50.0, placement=placement)])))
    assert view is not None
    assert view["tables"]["Modules with nodes elsewhere"]["rows"][0][1] == (text,)


def test_runs_on_devices_fill_the_bar_in_order() -> None:
    values = result("t", sample(targets=[target(partitions=2, share=75.0)]))
    values["targets"] = [{"name": "qnn", "compiled": True, "runs": [["QNN", 2], ["CPU", 1], ["QNN", 1]]}]
    report = build_report([values], {})
    view: Any = shipped.targets_view(report.exports[0])
    (summary,) = view["summaries"]
    parts = [(part["name"], part["x"], part["width"]) for part in summary["runs"]]
    assert parts == [("QNN", 0.0, 50.0), ("CPU", 50.0, 25.0), ("QNN", 75.0, 25.0)]
    drawn = re.findall(
        r'class="e-(\w+)" x="([\d.]+)" y="0" width="([\d.]+)" height="6"><title>\d on', first_page(report)
    )
    assert drawn == [("direct", "0.0", "50.0"), ("none", "50.0", "25.0"), ("direct", "75.0", "25.0")]


def test_a_target_that_does_not_compile_says_why_on_the_page() -> None:
    failed = {"name": "qnn", "options": {}, "compiled": False, "device": "QNN", "error": "Failed to finalize <graph>"}
    page = first_page(build_report([result("t", sample(targets=[failed]))], {}))
    assert "does not compile" in page
    assert "Failed to finalize &lt;graph&gt;" in page


def test_cost_counts_all_modules_of_a_fold() -> None:
    now = record(graph_rows(NORM), "Model")
    before = copy.deepcopy(now)
    before["modules"][0]["flops"] = 900
    rows = shipped.cost_view(view_of(now, before))
    assert rows == [
        ("floating-point operations", "1,000", "900"),
        ("parameters", "4.61 kB", ""),
        ("returned by modules", "576 B", ""),
    ]


def test_own_operations_leave_out_what_is_called() -> None:
    tree = build_tree(view_of(record(graph_rows(NORM), "Model")))
    assert tree is not None
    own_flops = shipped.own_flops(tree)
    own = {node.path: own_flops(node) for node in walk(tree)}
    assert own[""] == 200
    assert own["layers.{0..3}.proj"] == 800
    assert sum(own.values()) == 1000


def test_own_operations_of_callers_that_are_folded_otherwise() -> None:
    blocks = [row(path, "Block", {}, flops=210) for path in ("layers.{0..1,3}", "layers.2")]
    tree = build_tree(view_of(record([*graph_rows(NORM), *blocks], "Model")))
    assert tree is not None
    own_flops = shipped.own_flops(tree)
    own = {node.path: own_flops(node) for node in walk(tree)}
    assert (own["layers.{0..1,3}"], own["layers.2"], own["layers.{0..3}.proj"]) == (30, 10, 800)
    assert own[""] == 1000 - 4 * 210
