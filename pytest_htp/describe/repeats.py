"""Calls of repeated layers on one line: ``call layer.{1..11}(layer.{0..10}.norm:Add, in1)``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CALL = re.compile(r"call ([^(]*)\((.*)\)")
# Integers that may count layers: segments of a module's path or of an input's name, numbers of values from outside.
_PATH = re.compile(r"(?:input )?[^ :]*")
_NUMBER = re.compile(r"(?<![^.])(\d+)(?![^.])")
_OUTSIDE = re.compile(r"in(\d+)")


def fold_calls(calls: Sequence[str]) -> list[str]:
    """Fold runs of calls that differ in evenly rising numbers alone."""
    if len(calls) < 2:
        return list(calls)
    folded: list[str] = []
    run: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
    for call in calls:
        words, numbers = _taken_apart(call)
        if run and not _continues(run, words, numbers):
            folded.append(_rendered(run))
            run = []
        run.append((words, numbers))
    if run:
        folded.append(_rendered(run))
    return folded


_Call = tuple[tuple[str, ...], tuple[int, ...]]


def _continues(run: Sequence[_Call], words: tuple[str, ...], numbers: tuple[int, ...]) -> bool:
    last_words, last = run[-1]
    if words != last_words or not numbers:
        return False
    step = [b - a for a, b in zip(last, numbers, strict=True)]
    if min(step) < 0 or not any(step):
        return False
    return len(run) == 1 or step == [b - a for a, b in zip(run[-2][1], last, strict=True)]


def _taken_apart(call: str) -> _Call:
    """The words between the numbers, and the numbers."""
    found = _CALL.fullmatch(call)
    assert found is not None
    words, numbers, rest = [], [], "call "
    for place, text in enumerate((found[1], *found[2].split(", "))):
        rest += "" if place == 0 else "(" if place == 1 else ", "
        start = 0
        for match in _numbers(text, module=place == 0):
            words.append(rest + text[start : match.start(1)])
            numbers.append(int(match[1]))
            rest, start = "", match.end(1)
        rest += text[start:]
    return (*words, rest + ")"), tuple(numbers)


def _numbers(text: str, *, module: bool) -> list[re.Match[str]]:
    outside = _OUTSIDE.fullmatch(text)
    if outside is not None:
        return [outside]
    name = _PATH.match(text)
    end = name.end() if name is not None and (module or text.startswith("input ") or ":" in text) else 0
    start = len("input ") if text.startswith("input ") else 0
    return list(_NUMBER.finditer(text[:end], start))


def _rendered(run: Sequence[_Call]) -> str:
    words, first = run[0]
    last = run[-1][1]
    parts = [f"{word}{a if a == b else f'{{{a}..{b}}}'}" for word, a, b in zip(words, first, last, strict=False)]
    return "".join(parts) + words[-1]
