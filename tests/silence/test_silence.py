"""Nothing changed: the same baseline, byte for byte, and no finding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_htp.baseline.stored import carried_over
from pytest_htp.compare.engine import compare_exports
from pytest_htp.format.read import record_of
from pytest_htp.format.serialize import dumps
from tests.silence._exports import ALL, record, texts

ROOT = Path(__file__).resolve().parents[2]
FEW = ("mlp", "convnet", "tied", "odd_names")

every_model = pytest.mark.parametrize(
    "name", [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in ALL if name not in FEW)]
)


@cache
def baseline(name: str, dynamic: bool = False) -> dict[str, Any]:
    return record(name, dynamic=dynamic)


def assert_silent(before: dict[str, Any], today: dict[str, Any]) -> None:
    assert dumps(carried_over(record_of(before), record_of(today), 6)) == dumps(before)
    assert compare_exports(before, today).findings == ()


@every_model
def test_other_weights(name: str) -> None:
    assert_silent(baseline(name), record(name, seed=7))


@every_model
def test_no_weights(name: str) -> None:
    assert_silent(baseline(name), record(name, weights="none"))


@every_model
def test_another_batch_and_length_on_dynamic_axes(name: str) -> None:
    assert_silent(baseline(name, dynamic=True), record(name, dynamic=True, larger=True))


def _elsewhere(names: tuple[str, ...], tmp_path: Path) -> dict[str, str]:
    """The same exports in another process: other hash seed, other working directory, other order."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", "tests.silence._exports", *reversed(names)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.slow  # by default tests/describe/test_fingerprints.py tells it of fingerprints
def test_another_process_directory_hash_seed_and_order(tmp_path: Path) -> None:
    assert _elsewhere(ALL, tmp_path) == texts(ALL, parity=False)
