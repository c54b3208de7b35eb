"""The headline never looks better than the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from htp_sample_results import ENVIRONMENT, build_report, first_page, record, result, row
from msgspec import convert

from pytest_htp.report.headline import attention_words, headline
from pytest_htp.report.markdown import render_markdown
from pytest_htp.report.merge import merge_reports
from pytest_htp.report.result import Incomplete
from pytest_htp.report.terminal import summary_lines
from pytest_htp.report.write import write_reports

CLEAN = record([row("", "M", {"Add": 1})], "M")
LOST = {
    "nodeid": "t.py::lost",
    "outcome": "lost",
    "message": "its worker died while it ran",
    "file": None,
    "line": None,
}
FAILED = {"nodeid": "t.py::failed", "outcome": "failed", "message": "setup: no", "file": "t.py", "line": 3}


def one(**more: Any) -> dict[str, Any]:
    return result("t", CLEAN, CLEAN, **more)


@pytest.mark.parametrize(
    ("results", "incomplete", "word", "kind"),
    [
        ([one()], [], "unchanged", "unchanged"),
        ([one(), result("new", CLEAN, baseline_status="created")], [], "unchanged", "unchanged"),
        ([one(verdict="info")], [], "info", "info"),
        ([one(outcome="failed")], [], "test failed", "breaking"),
        ([one(outcome="skipped")], [], "test skipped", "open"),
        ([one(verdict="info", outcome="failed")], [], "test failed", "breaking"),
        ([one(verdict="info", outcome="failed", fail_on="info")], [], "info", "info"),
        ([one(verdict="improvement", outcome="failed")], [], "test failed", "breaking"),
        ([one(verdict="improvement")], [LOST], "incomplete", "breaking"),
        ([one(outcome="failed", baseline_status="error")], [], "bad baseline", "breaking"),
        ([one(outcome="failed", baseline_status="missing")], [], "no baseline", "open"),
        ([one()], [LOST, FAILED], "incomplete", "breaking"),
        ([], [FAILED], "test failed", "breaking"),
        ([one(verdict="drift", outcome="failed")], [LOST], "drift", "drift"),
        ([one(baseline_status="off")], [], "not compared", "open"),
        ([], [], "no exports", "open"),
    ],
)
def test_the_worst_is_said(results: list[Any], incomplete: list[Any], word: str, kind: str) -> None:
    report = build_report(results, ENVIRONMENT, incomplete=incomplete)
    top = headline(report)
    assert (top.word, top.kind) == (word, kind)
    assert render_markdown(report).splitlines()[1].endswith(f" ONNX exports: {word}")
    assert ("✅" in render_markdown(report).splitlines()[1]) is (word == "unchanged")
    page = first_page(report)
    assert f"<title>{word}: ONNX export report" in page
    if incomplete:
        assert "nothing to look at" not in page
        assert all(entry["message"] in page for entry in incomplete)


def test_what_is_missing_is_counted() -> None:
    report = build_report([one()], {}, incomplete=[FAILED, LOST, FAILED])
    assert [entry.outcome for entry in report.incomplete] == ["lost", "failed"], "each once"
    assert attention_words(report) == "1 export, 1 lost, 1 failure outside of the exports"
    lines = [line for line, _ in summary_lines(report)]
    assert lines[:2] == ["lost: t.py::lost: its worker died while it ran", "failed: t.py::failed: setup: no"]
    assert lines[-1] == "1 export: 1 unchanged, 1 lost, 1 failure outside of the exports"
    alone = build_report([], {}, incomplete=[LOST])
    assert [line for line, _ in summary_lines(alone)] == lines[:1]


def test_merged_shards_keep_what_each_lacks(tmp_path: Path) -> None:
    shards = [tmp_path / name for name in ("one", "two")]
    for folder, entry in zip(shards, (LOST, FAILED), strict=True):
        write_reports(build_report([], ENVIRONMENT, incomplete=[entry]), folder)
    assert merge_reports(shards, tmp_path / "out").incomplete == convert([LOST, FAILED], list[Incomplete])


def test_many_are_not_all_listed() -> None:
    many = [{**LOST, "nodeid": f"t.py::t{number}"} for number in range(300)]
    report = build_report([], {}, incomplete=many)
    assert "… and 280 more in `report.json`" in render_markdown(report)
    assert "… and 250 more, in report.json" in first_page(report)
    assert summary_lines(report)[-1][0] == "and 280 more tests"
