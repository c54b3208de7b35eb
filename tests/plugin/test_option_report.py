"""``--htp-report[=DIR]`` and the ini ``htp_report_dir``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from htp_examples import change_the_model, project, recorded


def test_does_not_swallow_the_path_behind_it(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n").write({"other/test_b.py": "def test_b(): pass\n"})
    example.run_pytest("--htp-report", "other/", outcomes={"passed": 1})
    assert (example.folder / "htp-report" / "index.html").is_file()
    assert not (example.folder / "other" / "report.json").exists()


def test_what_is_written_and_what_the_terminal_says(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    change_the_model(example)
    run = example.run_pytest("--htp-report=out/report", outcomes={"failed": 1})
    folder = example.folder / "out" / "report"
    names = {path.name for path in folder.iterdir()}
    assert names == {"index.html", "summary.md", "report.json", "exports"}
    assert run.report is not None
    assert run.report["schema"] == "pytest-htp/report/1"
    artifacts = folder / run.export["artifacts"]
    assert {path.name for path in artifacts.iterdir()} == {
        "baseline.json",
        "model.onnx",
        "model_htp_console.log",
        "model_htp_export_report.txt",
        "model_htp_metadata.json",
    }
    assert json.loads((artifacts / "baseline.json").read_text()) == run.export["record"]
    assert "onnx exports" in run.stdout
    assert "out/report/index.html" in run.stdout


def test_ini_names_the_folder_and_the_option_wins(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    example.write({"pytest.ini": "[pytest]\nhtp_report_dir = from-ini\n"})
    example.run_pytest("--htp-report", report=False)
    assert (example.folder / "from-ini" / "report.json").is_file()
    example.run_pytest("--htp-report=from-option", report=False)
    assert (example.folder / "from-option" / "report.json").is_file()


def test_the_option_works_in_addopts(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    example.write({"pytest.ini": "[pytest]\naddopts = --htp-report\n"})
    run = example.run_pytest("test_net.py", report=False, outcomes={"passed": 1})
    assert run.returncode == 0
    assert (example.folder / "htp-report" / "report.json").is_file()


def test_without_the_option_nothing_is_written_and_a_passing_run_is_quiet(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    run = example.run_pytest(report=False, outcomes={"passed": 1})
    assert run.touched_files == []
    assert not (example.folder / "htp-report").exists()
    assert "onnx exports" not in run.stdout


def test_a_report_that_cant_be_written_fails_the_run_with_one_message(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    run = example.run_pytest("--htp-report=/proc/htp-report", report=False)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert run.stdout.count("can't be written to /proc/htp-report") == 1
    assert "choose a writable directory" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_a_file_in_place_of_the_folder_is_refused_at_once(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n").write({"taken": "mine"})
    run = example.run_pytest("--htp-report=taken", report=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "taken is a file" in run.stderr
    assert example.read("taken") == "mine"


def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    example = project(tmp_path, "def test_a(): pass\n")
    example.write({"out/exports/precious.txt": "mine", "out/report.json": "{}"})
    example.run_pytest("--htp-report=out", report=False, outcomes={"passed": 1})
    assert example.read("out/exports/precious.txt") == "mine"


def test_the_next_report_replaces_the_last_one(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    example.run_pytest(outcomes={"passed": 1})
    exports = example.folder / "htp-report" / "exports"
    assert len(list(exports.iterdir())) == 1
    example.run_pytest("--collect-only", "--htp-report", report=False)
    assert len(list(exports.iterdir())) == 1, "looking at what there is must not cost a report"
    example.run_pytest("-k", "nothing")
    assert not exports.exists()
    assert {path.name for path in exports.parent.iterdir()} == {"index.html", "summary.md", "report.json"}


def test_files_of_equally_named_tests_in_two_folders_do_not_mix(tmp_path: Path) -> None:
    test = "import sys; sys.path.insert(0, '.')\nfrom net import X, make\n"
    test += "def test_net(htp_export):\n    htp_export(make, X, parity=False, baseline=False)\n"
    example = project(tmp_path, "").write(
        {"a/test_m.py": test, "b/test_m.py": test, "a/__init__.py": "", "b/__init__.py": ""}
    )
    run = example.run_pytest(outcomes={"passed": 2})
    assert len({export["artifacts"] for export in run.exports}) == 2


def test_a_failed_export_leaves_its_metadata_and_log_in_the_report(tmp_path: Path) -> None:
    example = project(tmp_path, "from net import X, Raises\ndef test_a(htp_export):\n    htp_export(Raises(), X)\n")
    run = example.run_pytest(outcomes={"failed": 1})
    folder = example.folder / "htp-report" / run.export["artifacts"]
    metadata = json.loads((folder / "model_htp_metadata.json").read_text())
    assert "this forward always raises" in json.dumps(metadata)
    assert not list(folder.glob("*.onnx"))
