"""Runs that end at the same moment write their reports one after the other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_htp.report.model import build_report, dump_report
from pytest_htp.session import artifacts

_ROUNDS = 40
EMPTY = dump_report(build_report([], {}))


def _run(folder: Path, together: Barrier) -> None:
    """What the end of a run does with the files of two exports."""
    for _ in range(_ROUNDS):
        config: Any = cast("pytest.Config", SimpleNamespace(stash=pytest.Stash()))
        token = artifacts.run_token(config)
        for name in ("a", "b"):
            kept = artifacts.staging_folder(config, folder) / name
            kept.mkdir(parents=True)
            (kept / "baseline.json").write_text(token)
        together.wait()
        with artifacts.one_at_a_time(folder):
            artifacts.put_in_place(config, folder)
            (folder / "report.json").write_text(EMPTY)
            found = {path.read_text() for path in (folder / "exports").rglob("baseline.json")}
            assert found == {token}, "the files of one run, whole"
        together.wait()


def test_runs_that_end_together(tmp_path: Path) -> None:
    together = Barrier(2, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(_run, tmp_path, together) for _ in range(2)]:
            done.result()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exports", "report.json"]


def test_a_folder_without_locks(tmp_path: Path) -> None:
    (tmp_path / ".report.lock").mkdir()
    with artifacts.one_at_a_time(tmp_path):
        (tmp_path / "written").touch()
    assert (tmp_path / "written").exists()


def test_a_report_is_told_by_the_lines_before_its_exports(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    assert not artifacts.is_report(tmp_path)
    head, exports, _ = EMPTY.partition('"exports":')
    file.write_bytes(f"{head}{exports}[".encode() + b"\xff" * 2**20)
    assert artifacts.is_report(tmp_path), "the rest is not read"
    file.write_bytes(b"\xff")
    assert not artifacts.is_report(tmp_path)
    file.write_text(json.dumps({"several": [json.loads(EMPTY)]}, indent=0))
    assert not artifacts.is_report(tmp_path)
