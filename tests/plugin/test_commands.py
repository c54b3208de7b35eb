"""The printed commands run the test they name, whatever the configuration selects."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from htp_examples import project

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
    made = example.run_pytest(*shlex.split(run.export["commands"]["accept"])[1:], report=False)
    assert len(made.created_files) == 1


@pytest.mark.parametrize(
    ("configured", "typed"), [("", ("-m", "slow")), ("-m slow", ()), ("-m slow", ("-m", "slow"))], ids=str
)
def test_a_selection_that_changes_nothing_is_left_out(tmp_path: Path, configured: str, typed: tuple[str, ...]) -> None:
    example = project(tmp_path, SLOW).write({"pytest.ini": INI.format(configured)})
    run = example.run_pytest(*typed)
    assert run.export["commands"]["reproduce"] == "pytest test_net.py::test_net"
