"""Relations between module paths: enclosing, enclosed, side by side."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

_RANGE = re.compile(r"\{(\d{1,6})\.\.(\d{1,6})\}")
_MOST = 1000


def parent_of(path: str) -> str | None:
    """The path without its last segment; None for the root. It need not be an executed module."""
    return path.rpartition(".")[0] if path else None


def ancestors(path: str) -> Iterator[str]:
    """Enclosing paths, nearest first, the root last."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def nearest(path: str, known: Container[str]) -> str | None:
    """The nearest enclosing path among the known ones."""
    return next((outer for outer in ancestors(path) if outer in known), None)


def unfolded(path: str) -> list[str]:
    """The paths that a line of a program stands for, ``layer.{1..3}.norm``: several ranges rise together."""
    ranges = [range(int(low), int(high) + 1)[:_MOST] for low, high in _RANGE.findall(path)]
    if not ranges:
        return [path]
    steps = (iter(numbers) for numbers in zip(*ranges, strict=False))
    return [_RANGE.sub(lambda _, step=step: str(next(step)), path) for step in steps]  # type: ignore[misc]


def topmost(paths: Iterable[str]) -> list[str]:
    """Those paths that no other of them encloses, in the given order."""
    listed = list(paths)
    known = set(listed)
    return [path for path in listed if nearest(path, known) is None]


class Neighbourhood(Container[str]):
    """Some modules and everything near them: what encloses them, what they enclose, and their siblings."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = set(paths)
        self._outer = {outer for path in self.paths for outer in ancestors(path)}
        self._parents = {parent_of(path) for path in self.paths}

    def __contains__(self, path: object) -> bool:
        if not self.paths or not isinstance(path, str):
            return False
        return path in self.paths or path in self._outer or parent_of(path) in self._parents or self.encloses(path)

    def encloses(self, path: str) -> bool:
        """Whether ``path`` is one of the modules or lies inside one."""
        return path in self.paths or nearest(path, self.paths) is not None
