"""Subtests make reports while their test is still running: exports count once, and only passed tests write."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

TEST = """
import unittest

import pytest
from net import X, make

def exports(htp_export, subtests):
    for width in (4, 5):
        with subtests.test(width=width):
            htp_export(make(width), X, name=f"n{width}", parity=False)

def test_fails_afterwards(htp_export, subtests):
    exports(htp_export, subtests)
    assert 0, "its own failure"

def test_a_subtest_fails(htp_export, subtests):
    exports(htp_export, subtests)
    with subtests.test("no export"):
        assert 0

def test_passes(htp_export, subtests):
    exports(htp_export, subtests)

class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take(self, htp_export):
        self.htp_export = htp_export

    def test_a_subtest_fails(self):
        for width in (4, 5):
            with self.subTest(width=width):
                self.htp_export(make(width), X, name=f"n{width}", parity=False)
        with self.subTest("no export"):
            self.fail("the subtest")

    def test_passes(self):
        for width in (4, 5):
            with self.subTest(width=width):
                self.htp_export(make(width), X, name=f"n{width}", parity=False)
"""


def test_exports_in_subtests(tmp_path: Path) -> None:
    pytest.importorskip("_pytest.subtests", reason="subtests came with pytest 9, and pytest 8.4 is supported")
    example = project(tmp_path, TEST)
    run = example.run_pytest("--snapshot-update")
    assert run.returncode == 1
    made = sorted(name.rsplit("/", 1)[1][: -len("-01234567.json")] for name in run.created_files)
    assert made == ["test_passes-n4", "test_passes-n5", "testunit-test_passes-n4", "testunit-test_passes-n5"]
    ends = {(export["nodeid"].partition("::")[2], export["name"]): export["outcome"] for export in run.exports}
    assert len(run.exports) == len(ends) == 10
    passed = {test for (test, _), outcome in ends.items() if outcome == "passed"}
    assert passed == {"test_passes", "TestUnit::test_passes"}
    assert "failed" in {outcome for (test, _), outcome in ends.items() if test == "TestUnit::test_a_subtest_fails"}


def test_a_finding_in_a_subtest_fails_its_test(tmp_path: Path) -> None:
    pytest.importorskip("_pytest.subtests", reason="subtests came with pytest 9, and pytest 8.4 is supported")
    example = project(tmp_path, TEST)
    run = example.run_pytest("-k", "test_passes")
    assert run.returncode == 1
    assert {export["outcome"] for export in run.exports} == {"failed"}
    assert run.stdout.count("there is no baseline yet\n") >= 4
