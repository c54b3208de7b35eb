"""A run that failed is never called unchanged: not by the summary, not by the page, not in the terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from htp_examples import ONE_TEST, project, recorded

from pytest_htp.testing import Example, Run


def tops(example: Example) -> tuple[str, str, str]:
    """The headline of summary.md, and the page's title and first badge."""
    folder = example.folder / "htp-report"
    summary, page = ((folder / name).read_text("utf-8") for name in ("summary.md", "index.html"))
    title = re.search(r"<title>([^:]*):", page)
    badge = re.search(r'class="lead"><span class="badge v-(\w+)"><span[^>]*>.</span> ([^<]*)</span>', page)
    assert title is not None
    assert badge is not None
    assert title[1] == badge[2]
    return summary.splitlines()[1].removeprefix("### "), badge[1], title[1]


def incomplete(run: Run) -> list[dict[str, Any]]:
    assert run.report is not None
    found: list[dict[str, Any]] = run.report["incomplete"]
    return found


def test_a_passing_run_is_unchanged(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    run = example.run_pytest(outcomes={"passed": 1})
    assert tops(example) == ("✅ ONNX exports: unchanged", "unchanged", "unchanged")
    assert incomplete(run) == []


def test_a_missing_baseline_is_the_headline(tmp_path: Path) -> None:
    example = project(tmp_path)
    run = example.run_pytest(outcomes={"failed": 1})
    assert tops(example) == ("❔ ONNX exports: no baseline", "open", "no baseline")
    assert run.export["verdict"] == "unchanged", "there is no verdict for it"
    assert "1 export: 1 no baseline" in run.stdout


def test_a_test_that_fails_by_itself_is_the_headline(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    example.replace("test_net.py", "parity=False)", "parity=False)\n    assert 1 == 2")
    run = example.run_pytest(outcomes={"failed": 1})
    assert tops(example) == ("❌ ONNX exports: test failed", "breaking", "test failed")
    assert "1 export: 1 test failed" in run.stdout
    for path in example.baselines:
        (example.folder / path).unlink()
    example.run_pytest("--snapshot-update", outcomes={"failed": 1})
    assert tops(example)[2] == "no baseline", "its baseline was not written"


def test_nothing_exported_is_not_unchanged(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    example.run_pytest(outcomes={"passed": 1})
    assert tops(example) == ("❔ ONNX exports: no exports", "open", "no exports")


def test_new_baselines_are_called_new(tmp_path: Path) -> None:
    example = project(tmp_path)
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert tops(example)[2] == "new baseline"


FAILS_WITHOUT_AN_EXPORT = """
import pytest
from net import X, make

@pytest.fixture
def broken():
    raise RuntimeError("the fixture's own fault")

@pytest.fixture
def untidy():
    yield
    raise RuntimeError("while it cleaned up")

def test_usage(htp_export):
    htp_export(make(), X, opset=3)

def test_fixture(htp_export, broken): pass

def test_before(htp_export):
    assert 1 == 2

@pytest.mark.xfail
def test_expected(htp_export):
    assert 1 == 2

def test_without_exports(broken): pass

def test_teardown(htp_export, untidy):
    htp_export(make(), X, parity=False, baseline=False)
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_tests_that_fail_without_an_export_are_named(tmp_path: Path, workers: tuple[str, ...]) -> None:
    example = project(tmp_path, FAILS_WITHOUT_AN_EXPORT)
    run = example.run_pytest(*workers, env={"GITHUB_ACTIONS": "true"})
    assert tops(example) == ("❌ ONNX exports: test failed", "breaking", "test failed")
    found = {entry["nodeid"].partition("::")[2]: entry for entry in incomplete(run)}
    assert set(found) == {"test_usage", "test_fixture", "test_before", "test_teardown"}
    assert "unknown export option 'opset'" in found["test_usage"]["message"]
    assert found["test_fixture"]["message"].startswith("setup: ")
    assert "the fixture's own fault" in found["test_fixture"]["message"]
    assert found["test_before"]["file"] == "test_net.py"
    assert "failed: test_net.py::test_usage: " in run.stdout
    assert "1 export: 1 not compared, 4 failures outside of the exports" in run.stdout
    summary = (example.folder / "htp-report" / "summary.md").read_text("utf-8")
    assert "- **failed** <code>test_net.py&#58;&#58;test_usage</code>" in summary
    annotations = [line for line in run.stdout.splitlines() if line.startswith("::error ")]
    assert len(annotations) == 4
    assert any("title=failed%3A test_net.py%3A%3Atest_usage::" in line for line in annotations)


def test_a_dead_workers_test_is_named(tmp_path: Path) -> None:
    dies = "\ndef test_dies(htp_export):\n    import os; os._exit(1)\n"
    example = recorded(tmp_path).write({"test_dies.py": dies})
    run = example.run_pytest("-n", "2", outcomes={"passed": 1, "failed": 1})
    assert tops(example) == ("❌ ONNX exports: incomplete", "breaking", "incomplete")
    (entry,) = incomplete(run)
    assert (entry["nodeid"], entry["outcome"]) == ("test_dies.py::test_dies", "lost")
    assert "lost: test_dies.py::test_dies: its worker died while it ran" in run.stdout
    assert "nothing to look at" not in (example.folder / "htp-report" / "summary.md").read_text("utf-8")


def test_a_file_that_cant_be_collected_is_lost(tmp_path: Path) -> None:
    example = recorded(tmp_path).write({"test_bad.py": "import nowhere\n"})
    run = example.run_pytest("--continue-on-collection-errors", outcomes={"passed": 1, "error": 1})
    assert tops(example)[2] == "incomplete"
    (entry,) = incomplete(run)
    assert entry["nodeid"] == "test_bad.py"
    assert "No module named 'nowhere'" in entry["message"]


def test_a_run_that_stops_early_says_so(tmp_path: Path) -> None:
    example = recorded(tmp_path, ONE_TEST).write({"test_z.py": "def test_z(): raise KeyboardInterrupt\n"})
    run = example.run_pytest()
    assert tops(example)[2] == "incomplete"
    assert [entry["nodeid"] for entry in incomplete(run)] == [""]


@pytest.mark.parametrize(
    ("model", "words"),
    [("zoo:nope", "zoo has no 'nope'"), ("raises:make", "importing raises failed: RuntimeError: at import")],
)
@pytest.mark.parametrize("generation", ["false", "true"])
def test_a_manifests_model_that_cant_be_loaded_is_a_failed_export(
    tmp_path: Path, model: str, words: str, generation: str
) -> None:
    manifest = f'[export.lost]\nmodel = "{model}"\ngeneration = {generation}\n'
    files = {"m.htp.toml": manifest, "zoo.py": "", "raises.py": "raise RuntimeError('at import')\n"}
    example = Example(files, folder=tmp_path)
    run = example.run_pytest(outcomes={"failed": 1})
    assert tops(example)[0] == "❌ ONNX exports: breaking"
    assert run.codes == {"step.failed"}
    assert run.export["error"]["step"] == "model_preparation"
    assert f"m.htp.toml:1: export.lost: model '{model}': {words}" in run.export["error"]["message"]
    assert "Traceback" not in run.stdout
    assert "items.py" not in run.stdout
