"""Baselines whose tests a run did not collect although they are there: ``--htp-prune`` keeps them and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_htp.baseline.naming import baseline_path
from pytest_htp.testing import Example

OPTION = """
def pytest_addoption(parser):
    parser.addoption("--big", action="store_true")

def pytest_generate_tests(metafunc):
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", ["small", "big"] if metafunc.config.getoption("--big") else ["small"])
"""
SPARED = {
    "condition": ("import os\nif os.environ.get('GPU'):\n    def test_x(): pass\n", "test_x"),
    "condition in a class": ("class TestA:\n    if not __debug__:\n        def test_x(self): pass\n", "TestA::test_x"),
    "parameters of an option": ("def test_x(model): pass\n", "test_x[big]"),
    "parameters of a condition": (
        "import os, pytest\n@pytest.mark.parametrize('m', ['a'] + ['b'] * bool(os.environ.get('GPU')))\n"
        "def test_x(m): pass\n",
        "test_x[b]",
    ),
    "a constant that grows": (
        "import pytest\nALL = ['a']\nif not __debug__:\n    ALL += ['b']\n@pytest.mark.parametrize('m', ALL)\n"
        "def test_x(m): pass\n",
        "test_x[b]",
    ),
    "parameters of a fixture": (
        "import pytest\n@pytest.fixture(params=['a'])\ndef m(request): pass\ndef test_x(m): pass\n",
        "test_x[b]",
    ),
    "made by a function": ("def make():\n    return lambda: None\nif not __debug__:\n    test_x = make()\n", "test_x"),
    "imported": ("if not __debug__:\n    from common import test_x\n", "test_x[a]"),
    "inherited": ("from unittest import TestCase as Base\nclass TestA(Base): pass\n", "TestA::test_x"),
    "another name pattern": ("def check_x(): pass\n", "check_x[a/b]"),
    "a name that is cut": (f"def check_{'x' * 90}(): pass\n", f"check_{'x' * 90}"),
    "a doctest": ("def f():\n    '''\n    >>> getfixture('htp_export')\n    '''\n", "test_m.f"),
}
GONE = {
    "the function": ("def test_other(): pass\n", "test_x[a]"),
    "a written parameter": (
        "import pytest\n@pytest.mark.parametrize('m', ['a', pytest.param('c', marks=pytest.mark.skip)])\n"
        "def test_x(m): pass\n",
        "test_x[b]",
    ),
    "of a constant": (
        "import pytest\nALL = ('a', 'c')\n@pytest.mark.parametrize('m, n', [(1, 2)], ids=['a'])\n"
        "@pytest.mark.parametrize('k', ALL)\ndef test_x(m, n, k): pass\n",
        "test_x[b]",
    ),
    "all parameters": ("def test_x(): pass\n", "test_x[b]"),
    "a method": ("import unittest\nclass TestA(unittest.TestCase):\n    def test_y(self): pass\n", "TestA::test_x"),
    "one that begins alike": ("def test_x_more(): pass\n", "test_x"),
}


def prune(folder: Path, test: str, test_id: str) -> tuple[bool, str]:
    """Whether the baseline of ``test_id`` is there after a run, and what the run printed."""
    files = {"test_m.py": test, "common.py": "def test_x(): pass\n"}
    example = Example(files | ({"conftest.py": OPTION} if "(model)" in test else {}), folder=folder)
    path = baseline_path(example.folder / "test_m.py", test_id, "")
    example.write({path.relative_to(example.folder).as_posix(): "{}"})
    run = example.run_pytest("--htp-prune", report=False)
    return path.exists(), run.stdout


@pytest.mark.parametrize("case", SPARED)
def test_what_may_be_there_is_kept(tmp_path: Path, case: str) -> None:
    is_there, said = prune(tmp_path, *SPARED[case])
    assert is_there
    assert "htp: kept __htp_baselines__/test_m/" in said
    assert "delete it yourself if it is gone" in said
    assert "stale" not in said


@pytest.mark.parametrize("case", GONE)
def test_what_is_gone_goes(tmp_path: Path, case: str) -> None:
    is_there, said = prune(tmp_path, *GONE[case])
    assert not is_there
    assert "htp: deleted __htp_baselines__/test_m/" in said


def test_a_file_of_another_kind_that_was_not_collected(tmp_path: Path) -> None:
    example = Example(
        {"test_m.py": "def test_y(): pass\n", "test_m.txt": ">>> getfixture('htp_export')\n"}, folder=tmp_path
    )
    path = baseline_path(example.folder / "test_m.py", "test_m.txt", "")
    example.write({path.relative_to(example.folder).as_posix(): "{}"})
    assert example.run_pytest("--htp-prune", report=False).deleted_files == []
    example.write({"test_m.txt": "data"})
    assert len(example.run_pytest("--htp-prune", report=False).deleted_files) == 1


def test_under_xdist(tmp_path: Path) -> None:
    _, test_id = SPARED["parameters of a condition"]
    test = SPARED["parameters of a condition"][0] + GONE["a written parameter"][0].replace("test_x", "test_z")
    example = Example({"test_m.py": test}, folder=tmp_path)
    for name in (test_id, "test_z[b]"):
        path = baseline_path(example.folder / "test_m.py", name, "")
        example.write({path.relative_to(example.folder).as_posix(): "{}"})
    run = example.run_pytest("-n", "1", "--htp-prune", report=False)
    assert ["test_z" in name for name in run.deleted_files] == [True]
    assert "htp: kept __htp_baselines__/test_m/test_x-b-" in run.stdout
