"""Folded paths: ``encoder.layer.{0..11}`` stands for twelve modules that are alike.

A brace takes the place of one whole name and lists numbers and inclusive ranges: ``{0..11}``, ``{0,2,5}``,
``{0..3,6}``. Several braces stand for every combination. Braces in real module names are percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import TypeVar

from pytest_htp.errors import HTPUsageError

_DOT_OUTSIDE_BRACES = re.compile(r"\.(?![^{}]*\})")
_BRACE = re.compile(r"\{\d{1,9}(?:\.\.\d{1,9})?(?:,\d{1,9}(?:\.\.\d{1,9})?)*\}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)

# Names of one path looked at for numbers, from its end; keeps hostile paths linear. Real ones have at most
# four.
_FOLDABLE_NAMES = 6

_Value = TypeVar("_Value")


def encode_braces(name: str) -> str:
    """``name`` with literal braces percent-encoded, so that it can't be read as a folded path."""
    return name.replace("{", "%7B").replace("}", "%7D")


def fold_numbers(numbers: Iterable[int]) -> str:
    """``{0..3,6}`` for 0, 1, 2, 3, 6."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}..{b}" for a, b in runs) + "}"


def _ranges(name: str) -> list[range]:
    spans = (part.split("..") for part in name[1:-1].split(","))
    return [range(int(span[0]), int(span[-1]) + 1) for span in spans]


def folded_count(path: str) -> int:
    """How many paths a folded path stands for; 1 where nothing is folded."""
    names = _DOT_OUTSIDE_BRACES.split(path) if "{" in path else ()
    return prod(sum(map(len, _ranges(name))) for name in names if _BRACE.fullmatch(name))


def expand(path: str, limit: int) -> Iterator[str]:
    """Every path a folded path stands for. Raises HTPUsageError beyond ``limit``, before making any."""
    if "{" not in path:
        yield path
        return
    if folded_count(path) > limit:
        raise HTPUsageError(f"folded path {path[:200]!r} stands for more than {limit:,} modules")
    names = [
        [str(number) for span in _ranges(name) for number in span] if _BRACE.fullmatch(name) else [name]
        for name in _DOT_OUTSIDE_BRACES.split(path)
    ]
    yield from (".".join(combination) for combination in product(*names))


def fold(siblings: Sequence[tuple[str, Hashable, _Value]]) -> list[tuple[str, _Value, int]]:
    """Join siblings that are alike and whose paths differ in numbers only.

    Args:
        siblings: ``(relative path, what makes it alike, value)`` in display order.

    Returns:
        ``(folded path, value of the first member, number of members)``, in order of the first members.
    """
    items = [(tuple(path.split(".")), kind, value, 1) for path, kind, value in siblings]
    deepest = max((len(names) for names, *_ in items), default=0)
    for back in range(1, min(deepest, _FOLDABLE_NAMES) + 1):
        groups: dict[Hashable, list[tuple[tuple[str, ...], Hashable, _Value, int]]] = {}
        for index, item in enumerate(items):
            names, kind = item[0], item[1]
            if len(names) >= back and _NUMBER.fullmatch(names[-back]):
                rest = (names[: len(names) - back], names[len(names) - back + 1 :], kind)
                groups.setdefault(rest, []).append(item)
            else:
                groups[index] = [item]
        items = [_join(group, back) for group in groups.values()]
    return [(".".join(names), value, count) for names, _, value, count in items]


def _join(
    group: list[tuple[tuple[str, ...], Hashable, _Value, int]], back: int
) -> tuple[tuple[str, ...], Hashable, _Value, int]:
    names, kind, value, count = group[0]
    if len(group) == 1:
        return group[0]
    place = len(names) - back
    numbers = fold_numbers(int(item[0][place]) for item in group)
    return (*names[:place], numbers, *names[place + 1 :]), kind, value, count * len(group)
