"""The one grammar of module paths: what encloses what, and patterns that stand for many paths.

A *raw path* is a module's name as torch knows it, ``encoder.layer.5``; the root is ``""``. A *pattern* stands for one
or more of them, ``encoder.layer.{0..4,6}.attention``::

    pattern = "" | segment *( "." segment )
    segment = name | "{" item *( "," item ) "}"      ; "%", "{", "}" of a name are written %25, %7B, %7D
    item    = number | number ".." number            ; inclusive, rising, as a module list counts: no leading zeros

Several braces stand for every combination. Parameters' and tensors' names follow the same grammar.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product
from math import prod

from pytest_htp.errors import HTPUsageError

# The largest known models have some 30,000 modules; ten times that is a broken or hostile file, not a model.
MAX_PATHS = 300_000

INTEGER = "(?:0|[1-9][0-9]{0,8})"  # a segment that counts, as an expression
_INTEGER = re.compile(INTEGER)
_ITEM = re.compile(rf"({INTEGER})(?:\.\.({INTEGER}))?")
_ESCAPES = {"%": "%25", "{": "%7B", "}": "%7D"}
_ESCAPED = re.compile(r"%(25|7B|7D)")

NaturalKey = tuple[tuple[int, int, str], ...]
# A path's segments with None for each integer; a vector holds the integers.
Template = tuple[str | None, ...]
Vector = tuple[int, ...]


def segments_of(path: str) -> list[str]:
    """The names in a raw path; the root has none."""
    return path.split(".") if path else []


def depth_of(path: str) -> int:
    """How many names a raw path has; 0 for the root."""
    return len(segments_of(path))


def join_path(*parts: str) -> str:
    """Raw paths, each relative to the one before it, as one path."""
    return ".".join(part for part in parts if part)


def parent_of(path: str) -> str | None:
    """The path without its last segment; None for the root. It need not be an executed module."""
    return path.rpartition(".")[0] if path else None


def owner_of(parameter: str) -> str:
    """The path of the module that a parameter is registered in, by the parameter's name."""
    return parameter.rpartition(".")[0]


def last_segment(path: str) -> str:
    """A module's or parameter's own name in what encloses it; ``""`` for the root."""
    return path.rpartition(".")[2]


def ancestors(path: str) -> Iterator[str]:
    """Enclosing paths, nearest first, the root last."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def nearest(path: str, known: Container[str]) -> str | None:
    """The nearest enclosing path among the known ones."""
    return next((outer for outer in ancestors(path) if outer in known), None)


def relative_to(path: str, enclosing: str) -> str:
    """What is left of a path inside of an enclosing one; ``""`` for that one itself."""
    return path[len(enclosing) :].removeprefix(".") if enclosing else path


def lies_in(path: str, enclosing: str) -> bool:
    """Whether a path is the enclosing one or inside it; all are inside the root."""
    return not enclosing or path == enclosing or path.startswith(f"{enclosing}.")


def topmost(paths: Iterable[str]) -> list[str]:
    """Those paths that no other of them encloses, in the given order."""
    listed = list(paths)
    known = set(listed)
    return [path for path in listed if nearest(path, known) is None]


def common_prefix(paths: Sequence[str]) -> str:
    """The deepest module path that encloses (or is) all the given ones; ``""`` is the root.

    Raises:
        ValueError: there are no paths, so they have nothing in common.
    """
    if not paths:
        raise ValueError("no module paths given")
    split = [segments_of(path) for path in paths]
    shortest = min(split, key=len)
    depth = next((i for i, name in enumerate(shortest) if any(other[i] != name for other in split)), len(shortest))
    return ".".join(shortest[:depth])


def without_common_end(one: str, other: str) -> tuple[str, str]:
    """``("encoder", "bert.encoder")`` → ``("", "bert")``."""
    ones, others = segments_of(one), segments_of(other)
    while ones and others and ones[-1] == others[-1]:
        ones.pop()
        others.pop()
    return ".".join(ones), ".".join(others)


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


def number_in(segment: str) -> int | None:
    """The integer that a segment is, such as a module list's index; None for a name (``01`` is one)."""
    return int(segment) if segment.isdigit() and _INTEGER.fullmatch(segment) else None


def natural_key(path: str) -> NaturalKey:
    """Sort key of a raw path: segment by segment, integers by value and before names."""
    return tuple(map(_segment_key, segments_of(path)))


@lru_cache(maxsize=16_384)  # paths are made of few different segments
def _segment_key(segment: str) -> tuple[int, int, str]:
    number = number_in(segment)
    return (1, 0, segment) if number is None else (0, number, "")


def split_path(path: str) -> tuple[Template, Vector]:
    """A raw path's segments with None in place of integers, and those integers."""
    template: list[str | None] = []
    vector: list[int] = []
    for segment in segments_of(path):
        number = number_in(segment)
        if number is None:
            template.append(segment)
        else:
            template.append(None)
            vector.append(number)
    return tuple(template), tuple(vector)


def path_template(path: str) -> Template:
    """A raw path's segments with None in place of integers: equal for paths that may fold together."""
    return split_path(path)[0]


def escape_path(path: str) -> str:
    """A raw module path as a pattern that stands for itself alone."""
    if "%" in path or "{" in path or "}" in path:
        return "".join(_ESCAPES.get(char, char) for char in path)
    return path


def _unescape(path: str) -> str:
    if "%" not in path:
        return path
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path)


def render_pattern(template: Template, numbers: Iterable[Sequence[int]]) -> str:
    """A template as a pattern, each integer replaced by its rising numbers."""
    choices = iter(numbers)
    return ".".join(_braces(next(choices)) if part is None else escape_path(part) for part in template)


def _braces(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    items: list[str] = []
    start = previous = numbers[0]
    for number in (*numbers[1:], -1):  # -1 closes the last run: module indices are never negative
        if number == previous + 1:
            previous = number
            continue
        items.append(str(start) if start == previous else f"{start}..{previous}")
        start = previous = number
    return "{" + ",".join(items) + "}"


@dataclass(frozen=True, slots=True)
class PathSet:
    """The raw paths that a pattern stands for: compared and counted without listing them.

    Attributes:
        template: the segments, None for each that is a number.
        choices: the numbers of each of those, as rising ranges.
    """

    template: Template
    choices: tuple[tuple[range, ...], ...]

    @property
    def count(self) -> int:
        """Number of paths: the full product of the braces."""
        return prod(sum(len(numbers) for numbers in ranges) for ranges in self.choices)

    def overlaps(self, other: PathSet) -> bool:
        """Whether at least one path is in both."""
        return self is other or (
            self.template == other.template
            and all(
                any(one.start < two.stop and two.start < one.stop for one in mine for two in theirs)
                for mine, theirs in zip(self.choices, other.choices, strict=True)
            )
        )

    def paths(self) -> Iterator[str]:
        """Every path, the first brace slowest."""
        numbers = iter(self.choices)
        texts = [(part,) if part is not None else [*map(str, chain(*next(numbers)))] for part in self.template]
        return map(".".join, product(*texts))


def split_pattern(pattern: str) -> list[str]:
    """The segments of a pattern as written: ``..`` inside braces does not separate. The root has none."""
    if "{" not in pattern:
        return segments_of(pattern)
    segments: list[str] = []
    inside: list[str] = []
    for piece in pattern.split("."):
        inside.append(piece)
        if ("{" in piece or len(inside) > 1) and "}" not in piece:
            continue
        segments.append(".".join(inside))
        inside = []
    return segments + ([".".join(inside)] if inside else [])


def parse_pattern(pattern: str) -> PathSet:
    """Read a pattern.

    Raises:
        HTPUsageError: it is malformed.
    """
    template: list[str | None] = []
    choices: list[tuple[range, ...]] = []
    for segment in split_pattern(pattern):
        number = number_in(segment)
        if number is not None:
            template.append(None)
            choices.append((range(number, number + 1),))
        elif "{" in segment or "}" in segment:
            template.append(None)
            choices.append(_parse_braces(segment, pattern))
        else:
            template.append(_unescape(segment))
    return PathSet(tuple(template), tuple(choices))


def expand_pattern(pattern: str, limit: int = MAX_PATHS) -> list[str]:
    """The raw paths a pattern stands for, first brace slowest.

    Raises:
        HTPUsageError: it is malformed, or stands for more than ``limit`` paths (checked before expanding).
    """
    if "{" not in pattern and "}" not in pattern:
        return [_unescape(pattern)]
    parsed = parse_pattern(pattern)
    if parsed.count > limit:
        raise HTPUsageError(
            f"path pattern {shortened(pattern)} stands for {parsed.count:,} modules; at most {limit:,} are accepted. "
            "Re-record the baseline with --snapshot-update"
        )
    return list(parsed.paths())


def shortened(text: str, limit: int = 120) -> str:
    """A path quoted in a message."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def _parse_braces(segment: str, pattern: str) -> tuple[range, ...]:
    items: list[range] = []
    inner = segment[1:-1] if segment.startswith("{") and segment.endswith("}") else ""
    for item in inner.split(","):
        match = _ITEM.fullmatch(item)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if high < low or (items and low < items[-1].stop):
            raise HTPUsageError(
                f"bad path pattern {shortened(pattern)}: a brace is a whole segment of rising numbers "
                "and ranges, like 'encoder.layer.{0..4,6}'"
            )
        items.append(range(low, high + 1))
    return tuple(items)
