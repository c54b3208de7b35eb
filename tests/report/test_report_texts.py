"""summary.md, annotations, the terminal table, JUnit properties and pytest-html extras."""

from __future__ import annotations

import shlex
from pathlib import Path
from unicodedata import east_asian_width

import pytest
from htp_sample_results import ENVIRONMENT, build_report, large_results, record, result, row, sample_results

from pytest_htp.report.github import ANNOTATION_LIMIT, github_annotations
from pytest_htp.report.junit import junit_properties
from pytest_htp.report.markdown import MARKER, render_markdown
from pytest_htp.report.pytest_html import html_extras
from pytest_htp.report.result import Report
from pytest_htp.report.terminal import WIDTH, fit, summary_lines

ACTIONS = {"GITHUB_ACTIONS": "true"}


@pytest.fixture
def report() -> Report:
    return build_report(sample_results(), ENVIRONMENT, notes=["worker gw1 crashed"])


def test_summary_has_marker_verdict_table_and_details(report: Report) -> None:
    text = render_markdown(report)
    lines = text.splitlines()
    assert lines[0] == MARKER
    assert lines[1] == "### ❌ ONNX exports: breaking"
    assert "6 of 11 exports need a look" in lines[3]
    assert "5 unchanged, 1 no baseline" in lines[3]
    assert "**Toolchain:** <code>onnxscript 0.7.2 → 0.7.3</code>, <code>torch 2.13.0 → 2.14.0</code>" in text
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) == 11
    assert {row.count("|") for row in rows} == {8}
    assert text.count("<details>") == text.count("</details>") == 6
    assert "pytest 'tests/test_models.py::test_bert[base]' --snapshot-update" in text
    assert "worker gw1 crashed" in text
    assert "Left out" not in text


def test_summary_of_a_clean_run_is_short() -> None:
    clean = record([row("", "M", {"Add": 1})], "M")
    text = render_markdown(build_report([result("t", clean, clean)], ENVIRONMENT))
    assert "1 export, nothing to look at" in text
    assert "<details>" not in text


@pytest.mark.parametrize("limit", [2_000, 20_000, 200_000])
def test_summary_stays_under_its_limit_and_says_what_is_missing(limit: int) -> None:
    text = render_markdown(build_report(large_results(400, 1_000, 200), ENVIRONMENT), limit=limit)
    assert len(text.encode()) <= limit
    assert text.startswith(MARKER)
    assert "400 of 400 exports need a look" in text
    note = text.splitlines()[-1]
    assert f"Left out to stay under {limit // 1024} KiB" in note
    assert "the details of" in note
    assert "index.html" in note
    assert text.count("<details>") == text.count("</details>")


def test_annotations_only_under_github_actions(report: Report) -> None:
    assert github_annotations(report, environ={}) == []
    lines = github_annotations(report, environ=ACTIONS)
    assert [line.split("::")[1].split(" ")[0] for line in lines] == ["error"] * 4 + ["warning", "error"]
    assert lines[0].startswith("::error file=tests/test_models.py,line=12,title=breaking%3A test_llama[")
    assert "%0AAccept: pytest" in lines[0]
    assert all("\n" not in line for line in lines)


def test_an_annotation_keeps_the_lines_of_an_error() -> None:
    error = {"step": "model_tracing", "type": "RuntimeError", "message": "first\n\x1b[96msecond\x1b[0m\n::error::x"}
    one = result("t", None, verdict="breaking", outcome="failed", error=error)
    (line,) = github_annotations(build_report([one], {}), environ=ACTIONS)
    assert line.endswith("::RuntimeError at model tracing: first%0Asecond%0A::error::x")


def test_annotations_name_files_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = build_report([result("t", None, verdict="drift", file="test_x.py")], {})

    def file(**environ: str) -> str:
        (line,) = github_annotations(report, root=tmp_path / "sub", environ={**ACTIONS, **environ})
        return line.split("file=")[1].split(",")[0]

    assert file(GITHUB_WORKSPACE=str(tmp_path)) == "sub/test_x.py"
    assert file(GITHUB_WORKSPACE=str(tmp_path / "elsewhere")) == "test_x.py"
    monkeypatch.chdir(tmp_path)
    assert file() == "sub/test_x.py"
    (tmp_path / "link").symlink_to(tmp_path)
    assert file(GITHUB_WORKSPACE=str(tmp_path / "link")) == "sub/test_x.py"


def test_one_annotation_per_test_and_ten_per_run() -> None:
    many = large_results(30, 20, 20)
    assert len(github_annotations(build_report(many, {}), environ=ACTIONS)) == ANNOTATION_LIMIT
    for item in many:
        item["nodeid"] = "tests/test_models.py::one"
    many[7]["verdict"] = "breaking"
    (line,) = github_annotations(build_report(many, {}), environ=ACTIONS)
    assert "title=breaking%3A test_large[7]" in line
    assert "29 other exports of this test changed too" in line


def test_terminal_table_fits_eighty_columns_and_says_what_to_do(report: Report) -> None:
    lines = [line for line, _ in summary_lines(report, html="htp-report/index.html")]
    start = next(i for i, line in enumerate(lines) if line.startswith("verdict "))
    table = lines[start : start + 12]
    assert all(len(line) <= WIDTH for line in table)
    assert table[3].split() == [
        "regression",
        "test_bert[base]",
        "BertModel",
        "331",
        "+50",
        "99.34%",
        "-0.66",
        "4.3",
    ]
    assert "note: worker gw1 crashed" in lines
    assert "report: htp-report/index.html" in lines
    assert "  pytest 'tests/test_models.py::test_whisper'" in lines
    assert "  pytest 'tests/test_models.py::test_t5_encoder' --snapshot-update" in lines
    command = next(line for line in lines if "test_bert[base]" in line and "pytest" in line)
    assert shlex.split(command)[-1] == "--snapshot-update"
    assert "tests/test_models.py::test_bert[base]" in shlex.split(command)


def test_terminal_leaves_unchanged_exports_out_of_a_long_table() -> None:
    clean = record([row("", "M", {"Add": 1})], "M")
    results = [result(f"test_{number:02}", clean, clean) for number in range(40)]
    lines = [line for line, _ in summary_lines(build_report(results, {}))]
    assert lines == ["40 exports: 40 unchanged"]
    results[3].update(verdict="drift", outcome="failed")
    lines = [line for line, _ in summary_lines(build_report(results, {}))]
    assert len([line for line in lines if line.startswith(("drift", "unchanged"))]) == 1


def test_what_had_not_run_is_not_accepted_by_running_all_again() -> None:
    clean, bad = record([row("", "M", {"Add": 1})], "M"), record([row("", "M", {"Mul": 1})], "M")
    results = [result(f"test_{number}_{'n' * 99}", bad, clean) for number in range(9)]
    for entry in results:
        entry.update(verdict="drift", outcome="failed", baseline_status="changed")
    stopped = [{"nodeid": "", "outcome": "lost", "message": "stopped early"}]
    for incomplete, expected in ([], ["pytest --snapshot-update"]), (stopped, []):
        lines = [line.strip() for line, _ in summary_lines(build_report(results, {}, incomplete=incomplete))]
        assert [line for line in lines if line.startswith("pytest --")] == expected
        assert any(line.startswith("and 8 more tests") for line in lines) is bool(incomplete)


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ("pytest a --snapshot-update", "next: 1 test has no baseline; create it with"),
        ("", "next: 1 test can have no baseline as it is; reproduce with"),
    ],
)
def test_a_baseline_that_may_not_be_written_is_not_offered(accept: str, words: str) -> None:
    entry = result("test_a", record([row("", "M", {"Add": 1})], "M"))
    commands = {"reproduce": "pytest a", "accept": accept}
    entry.update(verdict="breaking", outcome="failed", baseline_status="missing", commands=commands)
    lines = [line.strip() for line, _ in summary_lines(build_report([entry], {}))]
    assert lines[lines.index(words) + 1] == (accept or "pytest a")


def test_terminal_says_nothing_without_exports() -> None:
    assert summary_lines(build_report([], {})) == []


@pytest.mark.parametrize("text", ["short", "a" * 99, "漢字" * 30, "e\u0301" * 50])
def test_cells_have_their_exact_width(text: str) -> None:
    cell = fit(text, 20)
    wide = sum(east_asian_width(char) in "WF" for char in cell)
    marks = cell.count("\u0301")
    assert len(cell) + wide - marks == 20


def test_junit_properties_of_one_and_several_exports() -> None:
    results = build_report(sample_results(), {}).exports
    by_name = {item.name: item for item in results}
    assert junit_properties([by_name["test_bert[base]"]]) == [
        ("htp.verdict", "regression"),
        ("htp.coverage", "99.34"),
        ("htp.direct_coverage", "94.43"),
    ]
    assert junit_properties([by_name["test_clip"], by_name["test_bert[base]"]])[1] == (
        "htp.coverage",
        "99.34",
    )
    assert junit_properties([by_name["test_whisper"]]) == [("htp.verdict", "breaking")]
    assert junit_properties([]) == []


def test_pytest_html_gets_tree_and_console() -> None:
    (extra,) = html_extras(build_report(sample_results()[:1], {}).exports)
    assert extra["format_type"] == "html"
    assert "Gelu is no longer one node" in extra["content"]
    assert '<ul class="tree">' in extra["content"]
    assert "<summary>Console log</summary>" in extra["content"]
