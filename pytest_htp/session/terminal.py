"""The terminal behind pytest's capture, for the live line."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_terminal() -> TextIO | None:
    """A stream to the terminal that capturing does not redirect; None where there is none, or in CI.

    Called while capturing is suspended (configuration), when file descriptor 1 is still the real one.
    """
    if os.environ.get("CI"):
        return None
    try:
        if not sys.stdout.isatty():
            return None
        descriptor = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return os.fdopen(descriptor, "w", encoding=sys.stdout.encoding or "utf-8", errors="replace")
