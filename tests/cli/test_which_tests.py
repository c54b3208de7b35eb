"""The commands of CONTRIBUTING.md for a few of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.touched import LIFE_OF_A_BASELINE, ROOT, found_for


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("pytest_htp/compare/rules/ops.py", ["tests/compare", LIFE_OF_A_BASELINE]),
        ("pytest_htp/plugin.py", ["tests/plugin"]),
        ("pytest_htp/testing.py", ["tests/plugin/test_harness.py", LIFE_OF_A_BASELINE]),
        ("pytest_htp/errors.py", [LIFE_OF_A_BASELINE]),
        ("tests/compare/_records.py", ["tests/compare"]),
        ("tests/compare/test_compare_ops.py", ["tests/compare/test_compare_ops.py"]),
        ("tests/compare/test_that_was_deleted.py", []),
        ("tests/htp_examples.py", ["tests/plugin/test_warm_processes.py"]),
        ("docs/tutorial.md", ["tests/docs"]),
        ("tox.ini", []),
    ],
)
def test_what_a_change_touches(changed: str, tests: list[str]) -> None:
    assert found_for([changed]) == tests


def test_every_room_has_tests() -> None:
    rooms = [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "pytest_htp").iterdir() if (path / "__init__.py").exists()
    ]
    assert len(rooms) > 10
    assert [room for room in rooms if found_for([f"{room}/x.py"]) == [LIFE_OF_A_BASELINE]] == []


def test_without_torch_an_import_of_it_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    import torch\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.without_torch",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "torch: these tests run without torch" in done.stdout
    assert done.returncode == 1
