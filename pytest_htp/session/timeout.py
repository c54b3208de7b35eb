"""``htp_timeout``: an export that takes longer fails as such."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class ExportTimeout(TimeoutError):
    """The export took longer than ``htp_timeout``."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`ExportTimeout` in the block after ``seconds``.

    Uses the process's alarm clock, which interrupts Python code between two instructions: a single call into native code is
    not cut short. Where there is no such clock (Windows, a thread other than the main one) there is no limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(signum: int, frame: FrameType | None) -> None:
        raise ExportTimeout(f"the export took longer than htp_timeout = {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)  # another timeout plugin's alarm goes on
        signal.signal(signal.SIGALRM, before)
