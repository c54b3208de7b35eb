"""The search itself: versions by bisection, packages by delta debugging. Pure: a probe makes one try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Outcome(StrEnum):
    """What a try came to."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"  # it does not install, or pytest does not get as far as a report


@dataclass(frozen=True)
class Bracket:
    """Between which two places of a row the change lies.

    Attributes:
        good: the last place known to be good.
        bad: the first known to be bad.
        unknown: the places between the two, none of which could be tried.
    """

    good: int
    bad: int
    unknown: tuple[int, ...] = ()


def first_bad(count: int, probe: Callable[[int], Outcome]) -> Bracket:
    """The change in a row of ``count`` (>= 2) places, of which the first is good and the last bad.

    Calls ``probe`` at most ceil(log2(count - 1)) times, and once more for each place that can't be tried. Where good
    and bad alternate, a change is found, not necessarily the first.
    """
    good, bad = 0, count - 1
    unknown: set[int] = set()
    while open_ := [place for place in range(good + 1, bad) if place not in unknown]:
        middle = (good + bad) / 2
        place = min(open_, key=lambda candidate: (abs(candidate - middle), candidate))
        outcome = probe(place)
        if outcome is Outcome.GOOD:
            good = place
        elif outcome is Outcome.BAD:
            bad = place
        else:
            unknown.add(place)
    return Bracket(good, bad, tuple(range(good + 1, bad)))


def guilty(changed: Sequence[str], probe: Callable[[tuple[str, ...]], Outcome]) -> tuple[str, ...]:
    """The packages of ``changed`` that are needed for the change: without any one of them it is not known to be there.

    All together are known to be bad, none of them to be good. Delta debugging (Zeller's ddmin): halves first, then
    what is left without a part, then smaller parts.
    """
    current = tuple(changed)
    parts = 2
    while len(current) >= 2:
        pieces = _split(current, parts)
        rests = [tuple(name for name in current if name not in piece) for piece in pieces] if parts > 2 else []
        tried = [*pieces, *(rest for rest in rests if rest not in pieces)]
        smaller = next((names for names in tried if probe(names) is Outcome.BAD), None)
        if smaller is not None:
            parts = max(parts - 1, 2) if smaller in rests else 2
            current = smaller
        elif parts >= len(current):
            break
        else:
            parts = min(len(current), 2 * parts)
    return current


def _split(names: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    ends = [len(names) * number // parts for number in range(parts + 1)]
    return [names[start:end] for start, end in pairwise(ends) if end > start]
