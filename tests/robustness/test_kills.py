"""A run with ``--snapshot-update`` dies at any moment: every baseline is the old or the new one, whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import htp_warm
import pytest
from htp_examples import CHANGED, NET

from pytest_htp.testing import Example

# Fifteen baselines of one shared export: a run's time is mostly spent near its writes.
TESTS = """
import pytest
from net import X, make

@pytest.mark.parametrize("number", range(15))
def test_net(htp_export, number):
    htp_export(make, X, parity=False)
"""
_OLD, _NEW = (text.replace("return ", "") for text in CHANGED)
VERSIONED = NET.replace(CHANGED[0], f"return {_NEW} if VERSION else {_OLD}").replace(
    "import torch\n", "import torch\nVERSION = int(open('version.txt').read())\n", 1
)


def drive(folder: Path, *arguments: str, timeout: float) -> dict[str, Any]:
    example = Example({"net.py": VERSIONED, "test_net.py": TESTS, "version.txt": "0"}, folder=folder)
    script = Path(__file__).with_name("htp_kill_driver.py")
    done = subprocess.run(
        [htp_warm.python(), str(script), str(example.folder), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(result))
    return result


def check(result: dict[str, Any], kills: int) -> None:
    assert result["kills"] == kills
    assert result["broken"] == []
    assert result["written"] > 0, "the kills came when something was being written"
    assert result["finished"] < kills


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    check(drive(tmp_path, "210", "7", timeout=3000), 210)


@pytest.mark.slow
def test_two_runs_at_once(tmp_path: Path) -> None:
    result = drive(tmp_path, "two", timeout=300)
    assert result["codes"] == [0, 0]
    assert result["same"], "the files are what one run would have written"
    assert result["exports"] == 15
    assert result["missing"] == [], "the report that is there is whole"
    assert result["leftovers"] == []
