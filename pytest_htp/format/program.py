"""The one grammar of a module's program: a line for each operator, and for each call of a child.

::

    line   = "%" number " = " operator "(" [ values ] [ "; " name "=" text *( ", " name "=" text ) ] ")"
           | "call " path "(" [ values ] ")"
    values = value *( ", " value )
    value  = "%" number [ "." place ] | "in" number | "input " name | "parameter " name [ " by " expression ]
           | path ":" operator | …

Names are percent-encoded where they hold what means something here (:func:`plain_name`). Calls of repeated layers share
a line, ``call layer.{1..11}(layer.{0..10}.norm:Add, in1)``: its ranges rise together, one step a layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from pytest_htp.format.paths import INTEGER

# Operators whose value is the same whichever way round two inputs are given.
COMMUTATIVE = frozenset(
    ["Add", "Mul", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Equal", "BitwiseAnd", "BitwiseOr", "BitwiseXor"]
)  # fmt: skip
OWN = re.compile(r"%(\d+)((?:\.\d+)?)")
OUTSIDE = re.compile(r"in(\d+)")
_NODE = re.compile(r"%(\d+) = ([^(]*)\((.*)\)", re.DOTALL)
_CALL = re.compile(r"call ([^(]*)\((.*)\)", re.DOTALL)
_UNSAFE = re.compile(r"[^\w.\-^]", re.ASCII)
# Integers that may count layers: segments of a module's path or of an input's name.
_PATH = re.compile(r"(?:input )?[^ :]*")
_NUMBER = re.compile(rf"(?<![^.])({INTEGER})(?![^.])")
_RISING = re.compile(rf"\{{({INTEGER})\.\.({INTEGER})\}}")
_MOST_RISING = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a program; ``name`` is the operator, or the child that is called."""

    text: str
    name: str
    is_call: bool
    number: int
    inputs: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


def parse_line(text: str) -> Line:
    """Read a line. One that is no line of a program (from a file that was edited) stands for itself."""
    if (found := _CALL.fullmatch(text)) is not None:
        return Line(text, found[1], True, 0, tuple(split_values(found[2])), ())
    if (found := _NODE.fullmatch(text)) is None:
        return Line(text, text, False, 0, (), ())
    inputs, _, details = found[3].partition("; ") if not found[3].startswith("; ") else ("", "", found[3][2:])
    pairs = (detail.partition("=") for detail in split_values(details))
    attributes = tuple((name, value) for name, _, value in pairs)
    return Line(text, found[2], False, int(found[1][:9]), tuple(split_values(inputs)), attributes)


def split_values(text: str) -> Iterator[str]:
    """At ``, `` outside of parentheses."""
    if text and "(" not in text and ")" not in text:
        yield from text.split(", ")
        return
    start = depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth and text[place + 1 : place + 2] == " ":
            yield text[start:place]
            start = place + 2
    if text:
        yield text[start:]


def plain_name(name: str) -> str:
    """A name with everything that a line uses as punctuation percent-encoded."""
    if name.isascii() and name.isidentifier():
        return name
    return _UNSAFE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")), name
    )


def called_paths(name: str) -> list[str]:
    """The raw paths that a call's name stands for, ``layer.{1..3}.norm``: at most 1,000."""
    ranges = [range(int(low), int(high) + 1)[:_MOST_RISING] for low, high in _RISING.findall(name)]
    if not ranges:
        return [_raw_name(name)]
    steps = (iter(numbers) for numbers in zip(*ranges, strict=False))
    return [_raw_name(_RISING.sub(lambda _, step=step: str(next(step)), name)) for step in steps]  # type: ignore[misc]


def _raw_name(name: str) -> str:
    return unquote(name, errors="surrogatepass") if "%" in name else name


def fold_calls(calls: Sequence[str]) -> list[str]:
    """Fold runs of calls that differ in evenly rising numbers alone, those of the child's path by one at the most."""
    if len(calls) < 2:
        return list(calls)
    folded: list[str] = []
    run: list[_Call] = []
    for call in calls:
        taken_apart = _taken_apart(call)
        if run and not _continues(run, taken_apart):
            folded.append(_rendered(run))
            run = []
        run.append(taken_apart)
    folded.append(_rendered(run))
    return folded


class _Call(NamedTuple):
    """The words between the numbers, the numbers, and how many of them are in the child's path."""

    words: tuple[str, ...]
    numbers: tuple[int, ...]
    in_path: int


def _continues(run: Sequence[_Call], call: _Call) -> bool:
    last = run[-1]
    if call.words != last.words or not call.numbers:
        return False
    step = [b - a for a, b in zip(last.numbers, call.numbers, strict=True)]
    if min(step) < 0 or not any(step) or max(step[: call.in_path], default=0) > 1:
        return False
    return len(run) == 1 or step == [b - a for a, b in zip(run[-2].numbers, last.numbers, strict=True)]


def _taken_apart(call: str) -> _Call:
    line = parse_line(call)
    words, numbers, rest, in_path = [], [], "call ", 0
    for place, text in enumerate((line.name, *(line.inputs or ("",)))):
        rest += "" if place == 0 else "(" if place == 1 else ", "
        start = 0
        for match in _numbers(text, module=place == 0):
            words.append(rest + text[start : match.start(1)])
            numbers.append(int(match[1]))
            rest, start = "", match.end(1)
        rest += text[start:]
        in_path = len(numbers) if place == 0 else in_path
    return _Call((*words, rest + ")"), tuple(numbers), in_path)


def _numbers(text: str, *, module: bool) -> list[re.Match[str]]:
    outside = OUTSIDE.fullmatch(text)
    if outside is not None:
        return [outside]
    name = _PATH.match(text)
    end = name.end() if name is not None and (module or text.startswith("input ") or ":" in text) else 0
    start = len("input ") if text.startswith("input ") else 0
    return list(_NUMBER.finditer(text[:end], start))


def _rendered(run: Sequence[_Call]) -> str:
    words, first, _ = run[0]
    last = run[-1].numbers
    parts = [f"{word}{a if a == b else f'{{{a}..{b}}}'}" for word, a, b in zip(words, first, last, strict=False)]
    return "".join(parts) + words[-1]
