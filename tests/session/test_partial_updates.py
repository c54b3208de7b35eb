"""``--snapshot-update`` with any selection writes what passed and never loses a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import change_the_model, recorded

from pytest_htp.testing import Example

THREE = """
import pytest
from net import X, make

def test_a(htp_export):
    htp_export(make, X, parity=False)

def test_b(htp_export):
    htp_export(make, X, parity=False)
    {end}

def test_c(htp_export):
    htp_export(make, X, parity=False)
"""
PLAIN = THREE.format(end="")


def changed(run_names: list[str]) -> str:
    return "".join(sorted(name.rsplit("/", 1)[1][len("test_")] for name in run_names))


@pytest.fixture
def example(tmp_path: Path) -> Example:
    example = recorded(tmp_path, PLAIN)
    change_the_model(example)
    return example


@pytest.mark.parametrize(
    ("arguments", "end", "written"),
    [
        (("-k", "test_b"), "", "b"),
        (("test_net.py::test_c",), "", "c"),
        (("-x",), "assert 0", "a"),
        ((), "assert 0", "ac"),
        ((), "raise KeyboardInterrupt", "a"),
        ((), "pytest.exit('enough')", "a"),
        (("--maxfail=1",), "raise SystemExit", "a"),
    ],
    ids=["-k", "node id", "-x", "failing", "Ctrl-C", "pytest.exit", "SystemExit"],
)
def test_only_what_passed_is_written_and_nothing_is_lost(
    example: Example, arguments: tuple[str, ...], end: str, written: str
) -> None:
    example.write({"test_net.py": THREE.format(end=end)})
    run = example.run_pytest("--snapshot-update", *arguments, report=False)
    assert changed(run.changed_files) == written
    assert run.created_files == run.deleted_files == []
    assert len(example.baselines) == 3
