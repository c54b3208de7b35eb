"""A stage's record is the same, byte for byte, whatever threads and process it is made with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from pytest_htp.format.serialize import dumps
from tests.silence._exports import record

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("vit",)
PIPELINES = (("fp16",), ("int8:qdq", "ort:extended"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("stages", PIPELINES, ids=",".join),
    pytest.mark.parametrize("name", FAMILIES),
]


@cache
def baseline(name: str, stages: tuple[str, ...]) -> dict[str, Any]:
    return record(name, stages=stages)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch and ONNX Runtime with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with mock.patch.object(os, "cpu_count", return_value=count):
            yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 5])
def test_other_numbers_of_threads(name: str, stages: tuple[str, ...], count: int) -> None:
    with threads(count):
        assert dumps(record(name, stages=stages)) == dumps(baseline(name, stages))


def test_another_process(name: str, stages: tuple[str, ...], tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    code = (
        f"from tests.silence._exports import texts; import json; print(json.dumps(texts([{name!r}], stages={stages})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {name: dumps(baseline(name, stages))}
