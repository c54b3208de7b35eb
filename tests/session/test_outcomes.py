"""How tests end: their own failures, expected failures, skips, reruns; and that only passed tests write."""

from __future__ import annotations

from pathlib import Path

from htp_examples import change_the_model, project, recorded

TEST = """
import pytest
from net import Raises, X, make
from pytest_htp import HTPExportError

def test_fails_by_itself(htp_export):
    htp_export(make, X, parity=False)
    assert 1 + 1 == 3

def test_fails_with_pytest_fail(htp_export):
    htp_export(make, X, parity=False)
    pytest.fail("for a reason of its own")

def test_skips_afterwards(htp_export):
    htp_export(make, X, parity=False)
    pytest.skip("enough seen")

@pytest.mark.xfail(reason="known")
def test_xfails(htp_export):
    htp_export(make, X, parity=False)
    assert False

@pytest.mark.xfail(strict=True)
def test_passes_unexpectedly(htp_export):
    htp_export(make, X, parity=False)

@pytest.mark.xfail(raises=HTPExportError, strict=True)
def test_xfails_by_type(htp_export):
    htp_export(Raises(), X)

def test_expects_the_error(htp_export):
    with pytest.raises(HTPExportError, match="always raises") as info:
        htp_export(Raises(), X)
    assert info.value.step.value == "hierarchy_building"

@pytest.fixture
def exported(htp_export):
    return htp_export(Raises(), X)

def test_fails_in_setup(exported): pass

def test_lets_it_through(htp_export):
    htp_export(Raises(), X)
"""


def test_how_tests_end(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    run = example.run_pytest("--snapshot-update", "-rA")
    assert run.outcomes == {"failed": 4, "skipped": 1, "xfailed": 2, "passed": 1, "error": 1}, run.stdout
    assert run.touched_files == [], "no test passed that would have written a baseline"
    assert "assert (1 + 1) == 3" in run.stdout
    assert "for a reason of its own" in run.stdout
    ends = {export["name"]: export["outcome"] for export in run.exports}
    assert ends == {
        "test_fails_by_itself": "failed",
        "test_fails_with_pytest_fail": "failed",
        "test_skips_afterwards": "skipped",
        "test_xfails": "skipped",
        "test_passes_unexpectedly": "failed",
        "test_xfails_by_type": "skipped",
        "test_expects_the_error": "passed",
        "test_fails_in_setup": "failed",
        "test_lets_it_through": "failed",
    }
    through = run.stdout[run.stdout.index("_ test_lets_it_through _") :]
    assert "failed in step 3/8 (hierarchy building): RuntimeError: this forward always raises" in through
    assert "Traceback" not in run.stdout
    assert "exporter/exporter.py" not in run.stdout, "our frames are not shown"


def test_findings_come_besides_the_tests_own_failure(tmp_path: Path) -> None:
    example = recorded(tmp_path)
    change_the_model(example)
    example.replace("test_net.py", "parity=False)", "parity=False)\n    raise ValueError('its own')")
    run = example.run_pytest(outcomes={"failed": 1})
    assert "ValueError: its own" in run.stdout
    assert "pytest-htp, besides:" in run.stdout
    assert "ops.changed" in run.stdout


def test_ci_shows_the_message_once(tmp_path: Path) -> None:
    """There pytest doesn't cut its short summary to one line."""
    example = recorded(tmp_path)
    change_the_model(example)
    run = example.run_pytest(outcomes={"failed": 1}, env={"CI": "true"})
    summary = run.stdout[run.stdout.index("= short test summary info =") :].splitlines()
    assert summary[1] == "FAILED test_net.py::test_net - test_net: drift (1 finding at or above drift)"
    assert "= 1 failed in " in summary[2]
    assert run.stdout.count("reproduce this one:") == 1


def test_a_test_that_is_run_again_starts_afresh(tmp_path: Path) -> None:
    """As pytest-rerunfailures does it: the same item, a second time."""
    conftest = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        report.outcome = "rerun"
        item.ihook.pytest_runtest_logreport(report=report)
    item._initrequest()
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
    example = recorded(tmp_path).write({"conftest.py": conftest})
    run = example.run_pytest(outcomes={"passed": 1, "rerun": 1})
    assert len(run.exports) == 1


def test_a_test_case_keeps_our_findings_besides_its_own_failure(tmp_path: Path) -> None:
    test = """
import unittest
import pytest
from net import X, make

class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, htp_export):
        self.htp_export = htp_export

    def test_fails(self):
        self.htp_export(make, X, parity=False)
        self.fail("its own")

    def test_only_ours(self):
        self.htp_export(make, X, parity=False)
"""
    run = project(tmp_path, test).run_pytest(outcomes={"failed": 2})
    assert "AssertionError: its own" in run.stdout
    assert run.stdout.count("pytest-htp, besides:") == 1
    assert "TestUnit::test_fails --snapshot-update" in run.stdout
    assert "TestUnit::test_only_ours --snapshot-update" in run.stdout


def test_an_export_in_a_fixtures_teardown_is_refused(tmp_path: Path) -> None:
    test = """
import pytest
from net import X, make

@pytest.fixture
def exported_late(htp_export):
    yield
    htp_export(make, X, parity=False)

def test_net(exported_late): pass
"""
    example = project(tmp_path, test)
    for arguments in ((), ("--snapshot-update",)):
        run = example.run_pytest(*arguments, outcomes={"passed": 1, "error": 1})
        assert "htp_export was called after test_net.py::test_net had ended" in run.stdout
        assert "call it in the test, or before the yield" in run.stdout
        assert run.touched_files == []


def test_a_test_that_passed_writes_also_where_a_teardown_fails(tmp_path: Path) -> None:
    """pytest counts it as passed: the error is the fixture's, and says nothing of the export."""
    conftest = """
import pytest

@pytest.fixture(autouse=True)
def fails():
    yield
    raise RuntimeError("the fixture's own")
"""
    example = project(tmp_path, conftest=conftest)
    run = example.run_pytest("--snapshot-update", outcomes={"passed": 1, "error": 1})
    assert len(run.created_files) == 1
