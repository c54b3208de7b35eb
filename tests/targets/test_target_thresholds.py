"""Every number that decides how a graph is compiled, on both sides."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

import onnx
import pytest
from htp_tagged import Step, chain, written

from pytest_htp import Target
from pytest_htp.targets.compilers.edges import Edges, _add_optimized
from pytest_htp.targets.run import compile_for
from pytest_htp.targets.worker import _end_in_time

ONE: list[Step] = [("a", "Relu", {})]
MOST_OPTIMIZED = 2**31
MOST_KEPT = 200_000
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2  # linux/prctl.h


def test_a_graph_of_up_to_two_gigabytes_is_optimized_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given" / "model.onnx"
    path.parent.mkdir()
    onnx.save(chain(ONE), path)
    weights = path.with_name("model.onnx.data")
    for more, seen in ((0, {"n0": ["v0"]}), (1, {})):
        with weights.open("wb") as file:  # without content: takes no room
            file.truncate(MOST_OPTIMIZED - path.stat().st_size + more)
        edges = Edges()
        _add_optimized(edges, path)
        assert edges.makes == seen


@pytest.mark.parametrize(("printed", "kept"), [(MOST_KEPT, MOST_KEPT), (MOST_KEPT + 1, MOST_KEPT)])
def test_the_end_of_a_long_log_is_kept(tmp_path: Path, printed: int, kept: int) -> None:
    talking = Target("chip", compiler="htp_compilers:talk", options={"characters": printed})
    log = compile_for(talking, *written(chain(ONE), tmp_path), timeout=30).log
    assert (len(log), log[0], log[-4:]) == (kept, "a" if printed > kept else "b", "aend")


def test_a_part_has_the_minute_that_the_search_has(tmp_path: Path) -> None:
    """Without a limit of its own; the compiler refuses what it is given from 55 to 60 seconds for."""
    patient = Target("chip", compiler="htp_compilers:refuse_a_minute")
    assert compile_for(patient, *written(chain(ONE), tmp_path), timeout=0).failing == ("a",)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
@pytest.mark.parametrize(("limit", "alarm"), [(2.0, 12), (2.5, 13), (0.0, 0)])
def test_a_compiler_ends_ten_seconds_after_its_limit_and_with_who_waits(limit: float, alarm: int) -> None:
    before = signal.alarm(0)
    prctl = ctypes.CDLL(None).prctl
    ends_with = ctypes.c_int()
    try:
        _end_in_time(limit)
        prctl(PR_GET_PDEATHSIG, ctypes.byref(ends_with))
        assert (signal.alarm(0), ends_with.value) == (alarm, signal.SIGKILL)
    finally:
        prctl(PR_SET_PDEATHSIG, 0)
        signal.alarm(before)
