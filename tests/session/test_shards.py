"""A run that a plugin made a part of says so in its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

TESTS = "def test_a(): pass\ndef test_b(): pass\n"


@pytest.mark.parametrize(
    ("arguments", "shard"),
    [
        (("--splits=2", "--group=2"), {"number": 2, "of": 2}),
        (("--splits=1", "--group=1"), None),
        ((), None),
    ],
)
def test_the_report_says_which_shard_it_is_of(
    tmp_path: Path, arguments: tuple[str, ...], shard: dict[str, int] | None
) -> None:
    outcomes = {"passed": 1, "deselected": 1} if shard else {"passed": 2}
    run = project(tmp_path, TESTS).run_pytest(*arguments, "--htp-report", outcomes=outcomes)
    assert run.report is not None
    assert run.report["shard"] == shard
