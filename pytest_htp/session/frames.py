"""Where a failure shows: in the user's file, for ``--tb=line``, ``--pdb`` and the summary, not in ours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from pytest_htp.errors import HTPExportError, HTPUsageError

P = ParamSpec("P")
R = TypeVar("R")

# Behind these no test's own frame follows: a manifest's export is called by pytest itself.
_NOBODYS = ("_pytest", "pluggy")


def raises_at_the_call(function: Callable[P, R]) -> Callable[P, R]:
    """Errors with a message for the user end at the call: what lies between says nothing to them."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except (HTPExportError, HTPUsageError) as error:
            # Its cause stays as it is.
            raise error.with_traceback(None)  # noqa: B904

    return call


def place_of_call() -> TracebackType | None:
    """The innermost frame outside this package, as the end of a traceback."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _NOBODYS:
            return None
        if package != "pytest_htp":
            return TracebackType(None, frame, max(frame.f_lasti, 0), frame.f_lineno)
        frame = frame.f_back
    return None
