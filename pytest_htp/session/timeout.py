"""``htp_timeout``: an export that takes longer fails as such."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_htp.errors import ExportTimeout

# Code that puts things back must not be interrupted half-way; the alarm rings again shortly after it.
_UNINTERRUPTED = (
    "pytest_htp.capture.state",
    "pytest_htp.capture.weightless",
    "pytest_htp.exporter.save",
    "pytest_htp.exporter.steps",
    "pytest_htp.monitor",
    "contextlib",
)
_AGAIN = 0.02  # seconds


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`ExportTimeout` in the block after ``seconds``.

    Uses the process's alarm clock, which interrupts Python code between two instructions: a single call into
    native code is not cut short. Where there is no such clock (Windows, a thread other than the main one)
    there is no limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = False

    def expired(signum: int, frame: FrameType | None) -> None:
        if over:
            return
        if _is_putting_back(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
            return
        raise ExportTimeout(f"the export took longer than htp_timeout = {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)  # another timeout plugin's alarm goes on
        signal.signal(signal.SIGALRM, before)


def _is_putting_back(frame: FrameType | None) -> bool:
    """Whether the process is in code that must not be interrupted, as its innermost frames tell."""
    depth = 0
    while frame is not None:
        if depth < 4 and frame.f_globals.get("__name__", "").startswith(_UNINTERRUPTED):
            return True
        if frame.f_code.co_name == "_abandon":  # a failure is being recorded
            return True
        frame, depth = frame.f_back, depth + 1
    return False
