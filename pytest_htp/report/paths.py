"""Module paths and patterns in what a report is made of, which may come from any file."""

from __future__ import annotations

from functools import lru_cache

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import PathSet, parse_pattern


@lru_cache(maxsize=65_536)
def parse_path(path: str) -> PathSet:
    """Read a module path or a folded pattern; what is neither is a name that stands for itself."""
    try:
        return parse_pattern(path)
    except HTPUsageError:
        return PathSet((path,), ())
