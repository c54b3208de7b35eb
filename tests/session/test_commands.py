"""The printed commands do what they say, in the shell and folder that they were printed in."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from htp_examples import change_the_model, project, recorded

from pytest_htp.testing import Example, Run

SLOW = """
import pytest
from net import X, make

@pytest.mark.slow
def test_net(htp_export):
    htp_export(make, X, parity=False)
"""
INI = """
[pytest]
markers = slow: takes long
addopts = -q {}
"""
SEVERAL = """
import pytest
from net import X, make

@pytest.mark.parametrize("width", range(1, {}))
def test_net(htp_export, width):
    htp_export(make(width), X, parity=False)
"""


def printed(run: Run, ending: str) -> list[str]:
    """The commands with that ending that the run printed, each once."""
    lines = [line.strip() for line in run.stdout.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("pytest ") and line.endswith(ending)))


def follow(example: Example, command: str, cwd: str = ".") -> Run:
    """Do what a command says, as a shell takes it."""
    program, *words = shlex.split(command)
    assert program == "pytest"
    return example.run_pytest(*words, cwd=cwd, report=False)


@pytest.mark.parametrize(
    ("configured", "typed"),
    [
        ("-m 'not slow'", ("-m", "slow")),
        ("-m 'not slow'", ("-m", "slow or htp")),
        ("-m 'not slow'", ("-m", "")),
        ("-k 'not net'", ("-k", "net")),
    ],
    ids=str,
)
def test_a_selection_that_overrides_the_configured_one_is_repeated(
    tmp_path: Path, configured: str, typed: tuple[str, str]
) -> None:
    example = project(tmp_path, SLOW).write({"pytest.ini": INI.format(configured)})
    run = example.run_pytest(*typed)
    option, expression = typed
    command = f"pytest {option} {shlex.quote(expression)} test_net.py::test_net"
    assert run.export["commands"] == {"reproduce": command, "accept": f"{command} --snapshot-update"}
    assert len(follow(example, run.export["commands"]["accept"]).created_files) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "-k net",
        "-q -x --tb=short -rA -p no:cacheprovider -W ignore --durations 3 -vvs .",
        "-xsqr A --maxfail 3 --cov-report term -n0 --deselect other test_net.py",
    ],
)
def test_what_only_shapes_the_run_is_left_out(tmp_path: Path, typed: str) -> None:
    run = project(tmp_path).run_pytest(*shlex.split(typed))
    kept = " -W ignore" if "cacheprovider" in typed else ""
    assert run.export["commands"]["reproduce"] == f"pytest{kept} test_net.py::test_net"


OPTIONS = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true")
    parser.addoption("--rig")
    parser.addoption("--models", nargs="*", default=[])
    parser.addini("team", "whose", default="")

def pytest_collection_modifyitems(config, items):
    option = config.getoption
    if not (option("--runslow") and option("--rig") == "big one" and option("--models") == ["a", "b"]):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs options"))
    if config.getini("team") != "blue":
        items.clear()
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_options_of_the_project_are_repeated(tmp_path: Path, workers: tuple[str, ...]) -> None:
    example = project(tmp_path, conftest=OPTIONS)
    typed = ("--runslow", "--rig", "big one", "-oteam=blue", *workers, "test_net.py", "--models", "a", "b")
    (command,) = printed(example.run_pytest(*typed, outcomes={"failed": 1}), "--snapshot-update")
    assert len(follow(example, command).created_files) == 1
    assert follow(example, command.removesuffix("--snapshot-update")).outcomes == {"passed": 1}


def test_a_variant_that_was_typed_leaves_the_common_baseline_alone(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    change_the_model(example)
    run = example.run_pytest("-o", "htp_baseline_variant=torch", outcomes={"failed": 1})
    (command,) = printed(run, "--snapshot-update")
    accepted = follow(example, command)
    assert accepted.changed_files == []
    assert "/torch-" in accepted.created_files[0]


def test_several_tests_are_accepted_by_one_command_built_of_theirs(tmp_path: Path) -> None:
    example = project(tmp_path, SEVERAL.format(3)).write({"sub/readme": ""})
    run = example.run_pytest("-o", "htp_baseline_variant=mine", "..", cwd="sub", outcomes={"failed": 2})
    together = printed(run, "--snapshot-update")[-1]
    assert together == (
        "pytest -o htp_baseline_variant=mine '../test_net.py::test_net[1]' '../test_net.py::test_net[2]' "
        "--snapshot-update"
    )
    accepted = follow(example, together, cwd="sub")
    assert len([name for name in accepted.created_files if "/mine/" in name]) == 2


@pytest.mark.parametrize("report", [False, True])
def test_what_is_too_long_for_a_line_runs_all_again(tmp_path: Path, report: bool) -> None:
    example = project(tmp_path, SEVERAL.format(4).replace("test_net", f"test_{'n' * 200}"))
    run = example.run_pytest("-x", "-k", "1 or 2", "-pno:randomly", ".", "--maxfail=99", report=report)
    together = printed(run, "--snapshot-update")[-1]
    assert together == "pytest -pno:randomly -k '1 or 2' . --snapshot-update"
    assert ("report: htp-report" in run.stdout) is report
    assert len(follow(example, together).created_files) == 2
    if not report:
        example.replace("test_net.py", "make(width)", "make(width + 1)")
        assert printed(example.run_pytest(report=False), "--snapshot-update")[-1] == "pytest --snapshot-update"


def test_commands_of_doctests(tmp_path: Path) -> None:
    text = ">>> from net import X, make\n>>> _ = getfixture('htp_export')(make(), X, parity=False)\n"
    example = project(tmp_path, "").write({"docs/page.md": text, "pages.py": f'"""A page.\n\n{text}"""\n'})
    example.write({"pytest.ini": "[pytest]\npythonpath = .\n"})
    run = example.run_pytest("--doctest-modules", "--doctest-glob", "*.md", outcomes={"failed": 2})
    commands = printed(run, "--snapshot-update")
    assert len(commands) == 3
    for command in commands[:2]:
        assert len(follow(example, command).created_files) == 1, command
    assert follow(example, commands[2].removesuffix("--snapshot-update")).outcomes == {"passed": 2}


def test_where_no_report_was_written_none_is_named(tmp_path: Path) -> None:
    example = project(tmp_path).write({"report/summary.md/in_the_way": ""})
    run = example.run_pytest("--htp-report=report", report=False)
    assert "can't be written" in run.stdout
    assert "report: report" not in run.stdout


SHOWS = """
from pytest_htp.session.commands import command_again

def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line("again: " + command_again(config, "-q"))
"""


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("python -m pytest", "python -m pytest -q"),
        ("python -X dev -W ignore -m pytest -o x=y .", "python -X dev -W ignore -m pytest -o x=y . -q"),
        ("pytest .", "pytest . -q"),
        ("bin/pytest", "bin/pytest -q"),
        ("python -m coverage run -m pytest .", "python -m pytest . -q"),
        ("pytest @words", "pytest -o 'x=y z' sub -q"),
        (
            "pytest --ignore=sub -x --deselect a -k 'a b' --lf",
            "pytest -k 'a b' --ignore=sub --deselect a --lf -q",
        ),
        ("pytest --pyargs -vs sub", "pytest --pyargs sub -q"),
    ],
)
def test_how_pytest_was_started_is_repeated(tmp_path: Path, typed: str, shown: str) -> None:
    words = "-o\nx=y z\n-v\nsub\n"
    here = Example({"conftest.py": SHOWS, "words": words, "sub/readme": ""}, folder=tmp_path).folder
    programs = Path(sys.executable).parent
    (here / "bin").mkdir()
    (here / "bin" / "pytest").symlink_to(programs / "pytest")
    more = {"PATH": f"{programs}:{os.environ['PATH']}", "COVERAGE_FILE": str(tmp_path / "cov")}
    environment = {**os.environ, **more, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # which take seconds to load

    def shell(command: str) -> str:
        done = subprocess.run(command, shell=True, cwd=here, env=environment, capture_output=True, text=True)
        return next(line for line in done.stdout.splitlines() if line.startswith("again: ")).removeprefix("again: ")

    assert shell(typed) == shown
    assert shell(shown) == shown
