"""Two programs of one module, line against line: which operator, attribute or input changed, from what to what.

The lines' grammar is in :mod:`pytest_htp.format.program`. Numbers of lines and of values from outside mean nothing by
themselves: lines are aligned by operator, and both kinds of numbers are translated before anything is called different.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice, zip_longest
from typing import Protocol
from urllib.parse import unquote

from pytest_htp.format.program import COMMUTATIVE, OUTSIDE, OWN, Line, parse_line, split_values

# difflib is quadratic at worst, and so is looking among all lines for the likest: two programs of 4,000 lines that have
# nothing in common take 3.5 s of CPU time, among 256 candidates 10 s.
_LONGEST = 4000
_CANDIDATES = 64
# Numbers of lines and of values from outside, where a line may hold some.
_OWN = re.compile(r"(?:^|(?<=\()|(?<=, ))%(\d+)(?=[ ,.;)])")
_READ = re.compile(r"(?:(?<=\()|(?<=, ))(?:new )?%\d+(?:\.\d+)?(?=[,;)])")
_OUTSIDE = re.compile(r"(?:(?<=\()|(?<=, ))in(\d+)(?=[,;)])")


class _InWords(Protocol):
    """What a value is called: own ones by their operator; ``whole``: with what that is given."""

    def __call__(self, value: str, *, whole: bool = False) -> str: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changed.

    Attributes:
        words: what, before and after: ``Softmax: axis -1 -> 1``.
        before, after: the lines; None for a line that is gone or new.
        values: pairs of the values concerned where nothing else changed: ``("act:Gelu", "act:Relu")``.
        order: a call whose child is given the same values in another order: the places that were exchanged.
        callee: the child that is called.
    """

    words: str
    before: str | None
    after: str | None
    values: tuple[tuple[str, str], ...] = ()
    order: tuple[int, ...] = ()
    callee: str | None = None


@dataclass
class Differences:
    """Everything that changed between two programs.

    Attributes:
        outside: number of a value from outside → the number it had, where that is another.
    """

    found: list[Difference] = field(default_factory=list)
    outside: dict[int, int] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def diff_programs(before: tuple[str, ...], after: tuple[str, ...]) -> Differences:
    """What changed from one program to the other; nothing for programs that differ in numbering alone."""
    return _diff(before, after, _equal_ends(before, after)) or _diff(before, after, _Ends()) or Differences()


@dataclass
class _Ends:
    """Lines at the start and at the end that differ in numbering alone: most of a long program, and not parsed.

    Attributes:
        start, end: how many.
        own: number of such a line → the number it had.
        read: the same, also for the lines that they read if these are what they were.
        renumbered: the other way round.
        outside: values from outside that they read, which have the numbers they had, and how often in a certain order.
    """

    start: int = 0
    end: int = 0
    own: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    renumbered: dict[str, str] = field(default_factory=dict)
    outside: Counter[int] = field(default_factory=Counter)

    def take(self, before: str, after: str) -> bool:
        """Whether two lines are such a pair, by what the others read."""
        one, other = _OWN.split(before), _OWN.split(after)
        if one[::2] != other[::2] or not before.startswith("%"):
            return False
        was, now = one[1::2], other[1::2]
        old, new = dict(zip(now, was, strict=True)), dict(zip(was, now, strict=True))
        if was != [self.read.get(line, old[line]) for line in now]:
            return False
        if now != [self.renumbered.get(line, new[line]) for line in was]:
            return False
        self.read |= old
        self.renumbered |= new
        self.own[now[0]] = was[0]
        if "in" in before:
            operator = one[2].removeprefix(" = ").partition("(")[0]
            votes = int(operator not in COMMUTATIVE)
            self.outside.update({int(number): votes for number in _OUTSIDE.findall(before)})
        return True


def _equal_ends(before: Sequence[str], after: Sequence[str]) -> _Ends:
    ends, shorter = _Ends(), min(len(before), len(after))
    while ends.start < shorter and ends.take(before[ends.start], after[ends.start]):
        ends.start += 1
    while ends.start + ends.end < shorter and ends.take(before[-1 - ends.end], after[-1 - ends.end]):
        ends.end += 1
    return ends


def _diff(before: Sequence[str], after: Sequence[str], ends: _Ends) -> Differences | None:
    """What changed between the ends; None where these read what is something else now."""
    old, new = ([*map(parse_line, lines[ends.start : len(lines) - ends.end])] for lines in (before, after))
    pairs, gone, fresh = _align(old, new)
    lines = ends.own | {str(b.number): str(a.number) for a, b in pairs if not b.is_call}
    outside = _outside(pairs, ends.outside)
    if any(lines.get(now) != was for now, was in ends.read.items()) or any(outside.get(k) != k for k in ends.outside):
        return None
    result = Differences(outside={new: old for new, old in outside.items() if new != old})
    halves = (line.partition(" = ") for line in before)
    made = {number: rest for number, _, rest in halves}

    def translated(value: str) -> str:
        if (own := OWN.fullmatch(value)) is not None:
            line = lines.get(own[1])
            return f"new {value}" if line is None else f"%{line}{own[2]}"
        if (other := OUTSIDE.fullmatch(value)) is not None:
            return f"in{outside.get(int(other[1]), int(other[1]))}"
        if value.startswith("("):
            return f"({', '.join(map(translated, split_values(value[1:-1])))})"
        return value

    made |= {
        f"new %{line.number}": f"{line.name}({', '.join(map(translated, line.inputs))})"
        for line in new
        if not line.is_call
    }

    def in_words(value: str, *, whole: bool = False) -> str:
        own = OWN.fullmatch(value.removeprefix("new "))
        if own is None:
            return value
        text = made.get(value.removesuffix(own[2]))
        if not text:
            return value
        if whole:
            return _READ.sub(lambda found: in_words(found[0]), text) + own[2]
        return text.partition("(")[0] + own[2]

    for a, b in pairs:
        inputs = [translated(value) for value in b.inputs]
        attributes = {name: translated(value) for name, value in b.attributes}
        result.found += _compare(a, b, inputs, attributes, in_words)
    for line in gone:
        result.found.append(Difference(f"{_shown(line)} is gone", line.text, None, callee=_callee(line)))
    for line in fresh:
        result.found.append(Difference(f"new {_shown(line)}", None, line.text, callee=_callee(line)))
    return result


def _shown(line: Line) -> str:
    return f"call of {line.name}" if line.is_call else line.name


def _callee(line: Line) -> str | None:
    return line.name if line.is_call else None


def _compare(
    a: Line, b: Line, inputs: list[str], attributes: dict[str, str], in_words: _InWords
) -> Iterator[Difference]:
    old_attributes = dict(a.attributes)
    for name in sorted(old_attributes.keys() | attributes.keys()):
        was, now = old_attributes.get(name, "default"), attributes.get(name, "default")
        if was != now:
            bodies = (unquote(_body(value, in_words)) for value in (was, now))
            yield Difference(f"{a.name}: {name} {' -> '.join(bodies)}", a.text, b.text)
    if list(a.inputs) == inputs:
        return
    same_values = Counter(a.inputs) == Counter(inputs)
    if same_values and a.name in COMMUTATIVE:
        return
    both = zip_longest(a.inputs, inputs, fillvalue="")
    changed = [(place, was, now) for place, (was, now) in enumerate(both) if was != now]
    order = tuple(place for place, _, _ in changed) if same_values else ()
    head = f"{a.name} is given" if a.is_call else f"{a.name}:"
    if same_values:
        of_node = "order of inputs" if a.name == "Concat" else "inputs exchanged"
        what = "in another order" if a.is_call else of_node
        words = f"{head} {what}: {_before_and_after(a.inputs, inputs, in_words)}"
    else:
        parts = []
        if a.name in COMMUTATIVE:
            left, right = Counter(a.inputs) - Counter(inputs), Counter(inputs) - Counter(a.inputs)
            both = zip_longest(sorted(left.elements()), sorted(right.elements()), fillvalue="")
            changed = [(0, was, now) for was, now in both]
        for place, was, now in changed:
            where = "" if a.name in COMMUTATIVE or len(a.inputs) == 1 else f" {place + 1}"
            name = "input" if not a.is_call else "value"
            parts.append(f"{name}{where} {_before_and_after([was], [now], in_words)}")
        words = f"{head} {'; '.join(parts)}"
    values = tuple((was, now) for _, was, now in changed)
    yield Difference(words, a.text, b.text, values, order, _callee(a))


def _before_and_after(was: Sequence[str], now: Sequence[str], in_words: _InWords) -> str:
    """Values before and after; where the operators that made them have the same name, with what those are given."""
    before, after = ([in_words(value) or "none" for value in values] for values in (was, now))
    if before == after:
        before, after = ([in_words(value, whole=True) for value in values] for values in (was, now))
    return f"{', '.join(before)} -> {', '.join(after)}"


def _body(value: str, in_words: _InWords) -> str:
    return f"({', '.join(map(in_words, split_values(value[1:-1])))})" if value.startswith("(") else value


def _align(old: Sequence[Line], new: Sequence[Line]) -> tuple[list[tuple[Line, Line]], list[Line], list[Line]]:
    """Pairs of lines, and what is left on either side: calls by the child, nodes by operator in order, those that
    read alike first.
    """
    pairs: list[tuple[Line, Line]] = []
    calls = {line.name: line for line in new if line.is_call}
    gone = []
    for line in old:
        if line.is_call:
            other = calls.pop(line.name, None)
            if other is None:
                gone.append(line)
            else:
                pairs.append((line, other))
    a, b = [line for line in old if not line.is_call], [line for line in new if not line.is_call]
    before, after = ([_skeleton(line) for line in lines] for lines in (a, b))
    start, end = alike_at_the_ends(before, after)
    pairs += zip(a[:start], b[:start], strict=True)
    pairs += zip(a[len(a) - end :], b[len(b) - end :], strict=True)
    before, after = before[start : len(a) - end], after[start : len(b) - end]
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    left_a, left_b = [], []
    if max(len(a), len(b)) <= _LONGEST:
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                pairs += zip(a[i1:i2], b[j1:j2], strict=True)
            else:
                left_a += a[i1:i2]
                left_b += b[j1:j2]
    else:  # in order, which one pass finds
        alike: dict[object, deque[Line]] = {}
        for line, look in zip(a, before, strict=True):
            alike.setdefault(look, deque()).append(line)
        for line, look in zip(b, after, strict=True):
            if alike.get(look):
                pairs.append((alike[look].popleft(), line))
            else:
                left_b.append(line)
        left_a = sorted((line for lines in alike.values() for line in lines), key=lambda line: line.number)
    by_name: dict[str, deque[Line]] = {}
    for line in left_b:
        by_name.setdefault(line.name, deque()).append(line)
    for line in left_a:
        candidates = by_name.get(line.name)
        if candidates:
            best = max(
                islice(candidates, _CANDIDATES),
                key=lambda other: (_likeness(line, other), -abs(other.number - line.number)),
            )
            candidates.remove(best)
            pairs.append((line, best))
        else:
            gone.append(line)
    fresh = [*calls.values(), *(line for lines in by_name.values() for line in lines)]
    return pairs, gone, fresh


def alike_at_the_ends(old: Sequence[object], new: Sequence[object]) -> tuple[int, int]:
    """How many elements are equal at the start, and how many of the rest at the end."""
    shorter = min(len(old), len(new))
    start = next((place for place in range(shorter) if old[place] != new[place]), shorter)
    left = shorter - start
    end = next((place for place in range(left) if old[-1 - place] != new[-1 - place]), left)
    return start, end


def _skeleton(line: Line) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """A line without numbers."""
    inputs = [OUTSIDE.sub("in", OWN.sub("%", value)) for value in line.inputs]
    return line.name, tuple(sorted(inputs) if line.name in COMMUTATIVE else inputs), line.attributes


def _likeness(a: Line, b: Line) -> tuple[int, int]:
    """What two lines have in common: whole inputs and attributes, then kinds of inputs (``UINT8 of rank 4``)."""
    kept = Counter(_skeleton(a)[1]) & Counter(_skeleton(b)[1])
    kinds = sum(x.partition(" ")[0] == y.partition(" ")[0] for x, y in zip(a.inputs, b.inputs, strict=False))
    return sum(kept.values()) + len(set(a.attributes) & set(b.attributes)), kinds


def _outside(pairs: Sequence[tuple[Line, Line]], unmoved: Counter[int]) -> dict[int, int]:
    """Which value from outside is which, by the votes of the lines that read them."""
    votes = Counter({(number, number): count for number, count in unmoved.items()})
    for a, b in pairs:
        if a.name in COMMUTATIVE or len(a.inputs) != len(b.inputs):
            continue
        for was, now in zip(a.inputs, b.inputs, strict=True):
            first, second = OUTSIDE.fullmatch(was), OUTSIDE.fullmatch(now)
            if first is not None and second is not None:
                votes[int(second[1]), int(first[1])] += 1
    mapping: dict[int, int] = {}
    taken: set[int] = set()
    for (new, old), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0][0] != vote[0][1], vote[0])):
        if new not in mapping and old not in taken:
            mapping[new] = old
            taken.add(old)
    for a, b in pairs:  # the one that is left where the others are known
        if a.name in COMMUTATIVE:
            before, after = _read_outside(a), _read_outside(b)
            left = [number for number in before if number not in taken]
            right = [number for number in after if number not in mapping]
            if len(left) == len(right) == 1:
                mapping[right[0]] = left[0]
                taken.add(left[0])
    return mapping


def _read_outside(line: Line) -> list[int]:
    return [int(found[1]) for value in line.inputs if (found := OUTSIDE.fullmatch(value)) is not None]
