"""Shared by the benchmarks: alternate two alternatives, take medians, watch memory, print JSON."""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


Clock = Callable[[], float]


def seconds(function: Callable[[], Any], *, collect: bool = True, clock: Clock = time.perf_counter) -> float:
    """Seconds of one call by ``clock``, after a garbage collection unless ``collect`` is False."""
    if collect:
        gc.collect()
    started = clock()
    function()
    return clock() - started


def alternate(
    first: Callable[[], Any],
    second: Callable[[], Any],
    rounds: int,
    *,
    collect: bool = True,
    clock: Clock = time.perf_counter,
) -> tuple[list[float], list[float]]:
    """Time both in turn, ``rounds`` times; which goes first changes every round, so drift of the machine hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        order = ((0, first), (1, second)) if number % 2 == 0 else ((1, second), (0, first))
        for index, function in order:
            times[index].append(seconds(function, collect=collect, clock=clock))
    return times


def ratio(alternative: list[float], ours: list[float]) -> float:
    """Median of the paired ratios ours/alternative: robust against a slow round."""
    return statistics.median(b / a for a, b in zip(alternative, ours, strict=True))


def peak_rss() -> int:
    """Peak resident memory of this process so far, in bytes.

    Not ``ru_maxrss``: after a fork and exec that one still holds the peak of the parent.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


class RssWatch:
    """Largest resident memory while the block runs, in bytes above what it was at its start (sampled every 5 ms)."""

    def __enter__(self) -> RssWatch:
        gc.collect()
        self.start = self.peak = current_rss()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, current_rss())

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, current_rss())

    @property
    def growth(self) -> int:
        return self.peak - self.start


def current_rss() -> int:
    with open("/proc/self/statm") as stream:  # noqa: PTH123 - read hundreds of times a second
        return int(stream.read().split()[1]) * resource.getpagesize()


def in_subprocess(script: str, *arguments: str) -> dict[str, Any]:
    """Run one of our scripts with arguments; its last line of output is JSON."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(result: dict[str, Any]) -> None:
    print(json.dumps(result, indent=None, sort_keys=True))
