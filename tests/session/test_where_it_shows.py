"""What a run says of tests that are inherited, died, or only looked at, and where a failure shows."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from htp_examples import change_the_model, project, recorded

MIXIN = """
from net import X, make

class Exports:
    widths = (4,)

    def test_export(self, htp_export):
        for width in self.widths:
            htp_export(make(width), X, name=f"w{width}", parity=False)
"""
INHERITED = """
from common import Exports

class TestNet(Exports):
    pass

class TestOther(Exports):
    widths = (5,)
"""
HELPER = """
from net import Raises, X, make

def test_changed(htp_export):
    htp_export(make(), X, parity=False)

def test_raises(htp_export):
    htp_export(Raises(), X, parity=False)

def test_misspelt(htp_export):
    htp_export(make(), X, parrity=False)
"""


def test_inherited_tests_are_told_apart(tmp_path: Path) -> None:
    example = project(tmp_path, INHERITED, common=MIXIN)
    run = example.run_pytest(outcomes={"failed": 2})
    assert [(item["name"], item["file"], item["line"]) for item in run.exports] == [
        ("test_export [w4]", "test_net.py", 4),
        ("test_export [w5]", "test_net.py", 7),
    ]
    both = "from common import Exports\n\nclass TestNet(Exports):\n    pass\n"
    ini = "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\n"
    example.write({"a/test_m.py": both, "b/test_m.py": both, "pytest.ini": ini})
    shown = example.run_pytest("a", "b", "--snapshot-update", env={"COLUMNS": "120"}).stdout
    for name in ("a/test_m.py::TestNet::test_export [w4]", "b/test_m.py::TestNet::test_export [w4]"):
        assert re.search(rf"(unchanged|new baseline) +{re.escape(name)} ", shown), shown


@pytest.mark.parametrize("style", ["line", "short"])
def test_failures_end_in_the_users_file(tmp_path: Path, style: str) -> None:
    example = project(tmp_path, HELPER)
    said = example.run_pytest(f"--tb={style}", report=False, outcomes={"failed": 3}).stdout
    assert "pytest_htp/" not in said.replace("\\", "/"), said
    if style == "line":
        for number in (5, 8, 11):
            assert f"test_net.py:{number}: " in said


def test_a_debugger_opens_in_the_users_file(tmp_path: Path) -> None:
    example = project(tmp_path, HELPER).write({"commands.py": DEBUGGER})
    said = example.run_pytest("--pdb", "--pdbcls=commands:Says", report=False).stdout
    assert re.findall(r"debugger: (\S+) (\d+) (\w+)", said) == [
        ("test_net.py", "5", "test_changed"),
        ("test_net.py", "8", "test_raises"),
        ("test_net.py", "11", "test_misspelt"),
    ]


DEBUGGER = """
import pdb
from pathlib import Path

class Says(pdb.Pdb):
    def interaction(self, frame, traceback):
        self.setup(frame, traceback)
        here = self.curframe
        print("debugger:", Path(here.f_code.co_filename).name, self.stack[self.curindex][1], here.f_code.co_name)
"""


@pytest.mark.parametrize(
    "option", ["--fixtures", "--fixtures-per-test", "--setup-plan", "--setup-only", "--cache-show", "--collect-only"]
)
def test_runs_that_only_show_something_leave_report_and_baselines_alone(tmp_path: Path, option: str) -> None:
    example = recorded(tmp_path)
    example.run_pytest(outcomes={"passed": 1})
    report = (example.folder / "htp-report" / "report.json").read_bytes()
    example.write({"test_net.py": "def test_other(): pass\n"})
    run = example.run_pytest(option, "--htp-prune")
    assert run.deleted_files == []
    assert (example.folder / "htp-report" / "report.json").read_bytes() == report
    assert (example.folder / "htp-report" / "exports").is_dir()
    assert "report:" not in run.stdout


@pytest.mark.parametrize("typed", [("-x",), ("--maxfail=1",), ("-x", "-n", "1")], ids=" ".join)
def test_a_limit_that_was_not_reached_is_not_mentioned(tmp_path: Path, typed: tuple[str, ...]) -> None:
    run = recorded(tmp_path).run_pytest(*typed, outcomes={"passed": 1})
    assert run.report is not None
    assert run.report["incomplete"] == []
    assert "stopped" not in run.stdout


DIES = """
import os
from pathlib import Path
from net import X, make

def test_dies(htp_export):
    flag = Path(__file__).with_name("died")
    if not flag.exists():
        flag.write_text("once")
        os.kill(os.getpid(), 9)
    htp_export(make(), X, parity=False)
"""
RUN_AGAIN = """
import pytest

@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem, report, sched):
    if AGAIN:
        sched.mark_test_pending(crashitem)
        report.outcome = "rerun"
"""


@pytest.mark.parametrize("again", [True, False])
def test_a_test_that_died_and_was_run_again_is_not_lost(tmp_path: Path, again: bool) -> None:
    example = project(tmp_path, DIES, conftest=RUN_AGAIN.replace("AGAIN", str(again)))
    run = example.run_pytest("-n", "1", "--snapshot-update")
    assert run.report is not None
    assert len(run.exports) == again
    assert len(run.report["incomplete"]) == (not again)
    (note,) = run.report["notes"]
    assert ("run again" in note) is again
    assert ("lost" in note) is not again


PARAMETERS = """
import pytest
from net import X, make

MODELS = dict(small=4, {})

@pytest.mark.parametrize("model", sorted(MODELS))
def test_net(htp_export, model):
    htp_export(make(MODELS[model]), X, parity=False)
"""


def test_a_model_that_is_gone_from_a_computed_list_is_told(tmp_path: Path) -> None:
    example = recorded(tmp_path, PARAMETERS.format("big=5"))
    example.write({"test_net.py": PARAMETERS.format("")})
    stale = next(name for name in example.baseline_paths if "test_net-big" in name)
    said = example.run_pytest(report=False, outcomes={"passed": 1}).stdout
    assert f"htp: stale baseline {stale}: its test is collected with other parameters" in said
    assert "stale" not in example.run_pytest("test_net.py::test_net[small]", report=False).stdout
    spared = example.run_pytest("--htp-prune", report=False)
    assert spared.deleted_files == []
    assert spared.stdout.count("test_net-big") == 1
    example.write({"test_net.py": PARAMETERS.format("").replace("import pytest", "import os, pytest; os.getenv('X')")})
    assert "stale" not in example.run_pytest(report=False).stdout


@pytest.mark.parametrize("what", ["file", "folder", "dangling"])
def test_a_link_is_refused_with_a_command_that_mends_it(tmp_path: Path, what: str) -> None:
    example = recorded(tmp_path)
    path = example.folder / example.baseline_paths[0]
    place = {"file": path, "folder": path.parents[1], "dangling": path}[what]
    elsewhere = tmp_path / "else where"
    place.rename(elsewhere)
    place.symlink_to(elsewhere if what != "dangling" else tmp_path / "nothing")
    run = example.run_pytest(outcomes={"failed": 1})
    command = run.export["commands"]["accept"]
    assert command in run.stdout
    assert "--snapshot-update" not in run.stdout
    assert command in example.run_pytest("--snapshot-update", report=False, outcomes={"failed": 1}).stdout
    assert subprocess.run(command, shell=True, cwd=example.folder, check=False).returncode == 0
    example.run_pytest(*(["--snapshot-update"] if what == "dangling" else []), report=False, outcomes={"passed": 1})
    assert not place.is_symlink()


def test_a_fixture_of_the_project_that_is_called_snapshot(tmp_path: Path) -> None:
    own = "import pytest\n\n@pytest.fixture\ndef snapshot():\n    return {'users': 3}\n"
    example = project(tmp_path, conftest=own)
    example.run_pytest("--snapshot-update", report=False, outcomes={"passed": 1})
    example.run_pytest(report=False, outcomes={"passed": 1})
    change_the_model(example)
    example.run_pytest(report=False, outcomes={"failed": 1})


def test_loaded_alone(tmp_path: Path) -> None:
    example = project(tmp_path)
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    made = example.run_pytest("-p", "htp", "--snapshot-update", env=alone, report=False, outcomes={"passed": 1})
    assert len(made.created_files) == 1
    without = example.run_pytest("-p", "no:syrupy", report=False)
    assert "syrupy, which is switched off: leave out -p no:syrupy" in without.stdout


@pytest.mark.parametrize("at", ["start", "later"])
def test_a_report_folder_that_cant_be_written_is_one_line_and_no_tests_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    example = recorded(tmp_path, PARAMETERS.format("big=5"))
    (example.folder / "htp-report").mkdir()
    real = Path.mkdir

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        if self.name == "htp-report" if at == "start" else self.parent.name.startswith(".exports-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    if at == "start":
        (example.folder / "htp-report").rmdir()
    run = example.run_pytest(outcomes={"passed": 2})
    assert run.returncode == 1
    assert run.stdout.count("No space left on device") == 1
    assert "report: htp-report" not in run.stdout
