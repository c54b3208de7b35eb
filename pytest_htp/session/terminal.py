"""The terminal behind pytest's capture, for the live line."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import pytest

_KEY = pytest.StashKey[TextIO]()


def open_terminal(config: pytest.Config) -> None:
    """Keep a stream to the terminal that capturing does not redirect, unless there is none, or in CI.

    Called while capturing is suspended (configuration), when file descriptor 1 is still the real one.
    """
    if os.environ.get("CI"):
        return
    try:
        if not sys.stdout.isatty():
            return
        descriptor = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        return
    config.stash[_KEY] = stream = os.fdopen(descriptor, "w", encoding=sys.stdout.encoding or "utf-8", errors="replace")
    config.add_cleanup(stream.close)


def terminal_of(config: pytest.Config) -> TextIO | None:
    """The stream that was kept."""
    return config.stash.get(_KEY, None)
