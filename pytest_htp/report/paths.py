"""Folded module paths: ``encoder.layer.{0..3,6}.attention`` stands for five modules.

A pattern is compared without ever being expanded, so ``{0..999999999}`` in a broken file costs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import prod

_RANGE = r"\d{1,9}(?:\.\.\d{1,9})?"
_INDEX = re.compile(rf"\{{({_RANGE}(?:,{_RANGE})*)\}}|(\d{{1,9}})")
_DOT_OUTSIDE_BRACES = re.compile(r"\.(?![^{}]*\})")

_HOLE = "\0"  # stands for an index in a skeleton

Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path without its indices: ``layer.{0..3}`` is ``layer.`` + NUL, and intervals ``(((0, 3),),)``."""

    skeleton: str
    indices: tuple[Intervals, ...]

    @property
    def count(self) -> int:
        """Number of modules the pattern stands for (the full product of its braces)."""
        return prod(sum(max(high - low + 1, 0) for low, high in interval) for interval in self.indices)

    def overlaps(self, other: PathPattern) -> bool:
        """True where at least one module is in both."""
        if self is other:  # parse_path is cached, so this is the common case
            return True
        return self.skeleton == other.skeleton and all(
            any(low <= last and first <= high for low, high in mine for first, last in theirs)
            for mine, theirs in zip(self.indices, other.indices, strict=True)
        )


@lru_cache(maxsize=65_536)
def parse_path(path: str) -> PathPattern:
    """Read a module path or a folded pattern."""
    indices: list[Intervals] = []

    def take(match: re.Match[str]) -> str:
        ranges = (part.split("..") for part in (match[1] or match[2]).split(","))
        indices.append(tuple((int(part[0]), int(part[-1])) for part in ranges))
        return _HOLE

    skeleton = _INDEX.sub(take, path.replace(_HOLE, "�"))
    return PathPattern(skeleton, tuple(indices))


def split_path(path: str) -> list[str]:
    """Segments of a path; the dots of ``{0..11}`` do not separate. The root has none."""
    if not path:
        return []
    return path.split(".") if "{" not in path else _DOT_OUTSIDE_BRACES.split(path)
