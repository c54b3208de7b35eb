from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from htp_sample_results import ENVIRONMENT, build_report, hostile_results, result, sample_results
from msgspec import convert

import pytest_htp
from pytest_htp.errors import HTPUsageError
from pytest_htp.report.model import by_severity, dump_report, worst_verdict
from pytest_htp.report.result import ExportResult, report_of
from pytest_htp.report.schema import FOLDER, NAME, report_schema
from pytest_htp.report.write import write_reports

SCHEMA = json.loads((Path(pytest_htp.__file__).parent / "schemas" / "report.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("results", [sample_results, hostile_results, list])
def test_report_fits_its_published_schema(results: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    report = json.loads(dump_report(build_report(results(), ENVIRONMENT, notes=["a worker was lost"])))
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    assert report["schema"] == "pytest-htp/report/1"


def test_the_published_schema_is_made_from_the_type() -> None:
    assert (FOLDER / NAME).read_text("utf-8") == report_schema(), "python -m pytest_htp.report.schema writes it anew"


def test_order_of_arrival_does_not_matter() -> None:
    results = sample_results()
    report = dump_report(build_report(results, ENVIRONMENT))
    assert dump_report(build_report(reversed(results), ENVIRONMENT)) == report
    nodeids = [item["nodeid"] for item in json.loads(report)["exports"]]
    assert nodeids == sorted(nodeids)


def test_totals_count_verdicts_and_outcomes() -> None:
    totals = build_report(sample_results(), ENVIRONMENT).totals
    assert totals.exports == totals.tests == 11
    assert totals.verdict == "breaking"
    assert totals.verdicts == {
        "breaking": 2,
        "regression": 1,
        "drift": 1,
        "improvement": 1,
        "info": 0,
        "unchanged": 6,
    }
    assert totals.outcomes == {"failed": 5, "passed": 6}


def test_severity_puts_the_failed_before_the_passed() -> None:
    passed = result("a", None, verdict="drift")
    failed = result("b", None, verdict="drift", outcome="failed")
    assert [item.name for item in by_severity(convert([passed, failed], list[ExportResult]))] == ["b", "a"]
    assert worst_verdict([]) == "unchanged"


def test_an_early_failure_may_lack_most_keys() -> None:
    minimal = {"nodeid": "t.py::a", "name": "a", "verdict": "breaking"}
    (item,) = build_report([minimal], {}).exports
    assert item.findings == []
    assert item.record is None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"nodeid": "t.py::a", "verdict": "drift"}, "name is missing"),
        ({"nodeid": "t.py::a", "name": "a", "verdict": "bad"}, "verdict must be one of breaking"),
    ],
)
def test_bad_results_are_named(bad: dict[str, Any], words: str) -> None:
    report = json.loads(dump_report(build_report([], {})))
    with pytest.raises(HTPUsageError, match=words):
        report_of({**report, "exports": [bad]})


def test_not_a_number_is_written_as_null() -> None:
    output = {"name": "y", "max_abs": float("nan"), "max_rel": float("inf")}
    report = build_report([result("a", None, parity={"measured": True, "outputs": [output]})], {})
    (read,) = json.loads(dump_report(report))["exports"]
    assert read["parity"]["outputs"] == [{"name": "y", "max_abs": None, "max_rel": None}]


def test_files_are_written_whole_and_summary_appended(tmp_path: Path) -> None:
    step_summary = tmp_path / "step.md"
    step_summary.write_text("earlier\n", "utf-8")
    environ = {"GITHUB_STEP_SUMMARY": str(step_summary)}
    report = build_report(sample_results(), ENVIRONMENT)
    paths = write_reports(report, tmp_path / "new" / "dir", step_summary=True, environ=environ)
    assert sorted(path.name for path in (tmp_path / "new" / "dir").iterdir()) == [
        "index.html",
        "report.json",
        "summary.md",
    ]
    assert step_summary.read_text("utf-8") == "earlier\n\n" + paths["markdown"].read_text("utf-8")
    assert paths["json"].stat().st_mode & 0o777 == 0o644
    write_reports(report, tmp_path / "new" / "dir", environ=environ)
    assert step_summary.read_text("utf-8").count("pytest-htp report") == 1


def test_a_full_step_summary_is_left_alone(tmp_path: Path) -> None:
    step_summary = tmp_path / "step.md"
    step_summary.write_text("x" * 1024 * 1024, "utf-8")
    environ = {"GITHUB_STEP_SUMMARY": str(step_summary)}
    write_reports(build_report(sample_results(), {}), tmp_path, step_summary=True, environ=environ)
    assert step_summary.stat().st_size == 1024 * 1024


def test_an_unwritable_directory_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(HTPUsageError, match="choose a writable directory with --htp-report"):
        write_reports(build_report([], {}), tmp_path / "file")


def test_reports_import_nothing_heavy() -> None:
    code = (
        "import sys, pkgutil, importlib, pytest_htp.report as p\n"
        "for m in pkgutil.iter_modules(p.__path__): importlib.import_module('pytest_htp.report.' + m.name)\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxscript', 'onnxruntime', 'rich', 'numpy', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
