"""``pytest_htp.testing`` itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_htp.testing import Example, parse_outcomes


def test_a_run_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    example = Example(
        {
            "helper_of_the_example.py": "x = 1\n",
            "conftest.py": "import helper_of_the_example\n",
            "test_a.py": "import os\ndef test_a():\n    os.environ['LEFT'] = 'x'\n    os.chdir('/')\n"
            "    assert 'CI' not in os.environ\n",
        },
        folder=tmp_path,
    )
    before = (Path.cwd(), dict(os.environ), sys.path[:], sys.modules.get("conftest"))
    run = example.run_pytest(outcomes={"passed": 1})
    assert (Path.cwd(), dict(os.environ), sys.path[:], sys.modules.get("conftest")) == before
    assert "helper_of_the_example" not in sys.modules
    assert run.touched_files == []
    assert run.exports == []


def test_files_are_told_apart_by_what_happened_to_them() -> None:
    example = Example({"test_a.py": WRITES, "old.txt": "1", "dead.txt": "1", "same.txt": "1"})
    run = example.run_pytest(outcomes={"passed": 1})
    assert (run.created_files, run.changed_files, run.deleted_files) == (
        ["new.txt"],
        ["old.txt"],
        ["dead.txt"],
    )
    assert run.touched_files == ["dead.txt", "new.txt", "old.txt"]


WRITES = """
from pathlib import Path
def test_a():
    Path("new.txt").write_text("1")
    Path("old.txt").write_text("2")
    Path("same.txt").write_text("1")
    Path("dead.txt").unlink()
"""


def test_an_edit_within_the_same_second_is_seen() -> None:
    example = Example("def test_a(): assert 1\n")
    example.run_pytest(outcomes={"passed": 1})
    example.replace("test_example.py", "assert 1", "assert 0")
    example.run_pytest(outcomes={"failed": 1})


def test_wrong_expectations_are_explained() -> None:
    example = Example("def test_a(): pass\n")
    with pytest.raises(AssertionError, match="test session starts"):
        example.run_pytest(outcomes={"failed": 1})
    with pytest.raises(AssertionError, match="is not in test_example"):
        example.replace("test_example.py", "no such text", "")
    with pytest.raises(AssertionError, match="0 exports"):
        _ = example.run_pytest().export
    with pytest.raises(AssertionError, match="0 baselines"):
        _ = example.baseline


def test_a_process_of_its_own(tmp_path: Path) -> None:
    example = Example("import os\ndef test_a(): assert os.environ['GIVEN'] == 'x'\n", folder=tmp_path)
    run = example.run_pytest("-q", subprocess=True, env={"GIVEN": "x"}, outcomes={"passed": 1})
    assert run.returncode == 0
    assert run.report is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("==== 2 passed, 1 failed in 0.12s ====", {"passed": 2, "failed": 1}),
        ("1 passed, 3 warnings, 2 errors in 12.00s\n", {"passed": 1, "warning": 3, "error": 2}),
        ("no tests ran in 0.01s", {}),
        ("1 passed in 0.1s\n== 1 failed in 0.2s (0:00:01) ==\n", {"failed": 1}),
    ],
)
def test_outcomes_are_read_from_the_last_line(text: str, expected: dict[str, int]) -> None:
    assert parse_outcomes(text) == expected
