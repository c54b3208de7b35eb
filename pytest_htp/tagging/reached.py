"""Walking a graph, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def reached(start: Iterable[T], step: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """What is reached from ``start`` by steps, each once, the nearest first."""
    found: set[T] = set()
    waiting = [*start]
    for one in waiting:
        for other in step(one):
            if other not in found:
                found.add(other)
                waiting.append(other)
                yield other
