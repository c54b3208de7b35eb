"""pytest in another order, on two workers and elsewhere writes the same baselines, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import htp_warm
import pytest

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import pytest
from fixtures.plain import MODELS

@pytest.mark.parametrize("name", ["mlp", "tied", "nest", "odd_names"])
def test_model(htp_export, name):
    htp_export(MODELS[name].make(), MODELS[name].inputs(), parity=False)
"""

REVERSED = """
def pytest_collection_modifyitems(items):
    items.reverse()
"""


def _baselines(folder: Path, *arguments: str, python: str, conftest: str = "", **env: str) -> dict[str, bytes]:
    """Baselines that a run of the suite in a new folder writes, by file name."""
    folder.mkdir()
    for name, content in (("test_suite.py", SUITE), ("conftest.py", conftest), ("pytest.ini", "[pytest]\n")):
        (folder / name).write_text(content, encoding="utf-8")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--snapshot-update", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.name: file.read_bytes() for file in folder.rglob("__htp_baselines__/*/*.json")}


@pytest.mark.slow
def test_two_workers_in_reverse_order_and_elsewhere_write_the_same_bytes(tmp_path: Path) -> None:
    alone = _baselines(tmp_path / "alone", python=htp_warm.python())
    assert len(alone) == 4
    spread = _baselines(
        tmp_path / "spread", "-n", "2", "--dist", "load",
        python=sys.executable, conftest=REVERSED, PYTHONHASHSEED="77",
    )  # fmt: skip
    assert spread == alone
