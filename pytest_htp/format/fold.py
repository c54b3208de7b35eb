"""Folding: repeated identical layers share one row, ``encoder.layer.{0..11}.attention``.

Rows (or bare paths) merge when they are equal in everything but their path and their paths differ only in integer
segments. A pattern always stands for the exact cartesian product of its braces, so folding loses nothing:
``unfold_rows(fold_rows(rows))`` gives the rows back.

Pattern grammar::

    pattern = segment *( "." segment )
    segment = name | "{" item *( "," item ) "}"      ; "%", "{", "}" of a name are written %25, %7B, %7D
    item    = number | number ".." number            ; inclusive, rising
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, product
from math import prod
from typing import TypeVar

from msgspec.structs import astuple, replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.record import PathRow

# The largest known models have some 30,000 modules; ten times that is a broken or hostile file, not a model.
MAX_PATHS = 300_000

_INTEGER = re.compile(r"(?:0|[1-9][0-9]{0,8})")
_ITEM = re.compile(r"(0|[1-9][0-9]{0,8})(?:\.\.(0|[1-9][0-9]{0,8}))?")
_ESCAPES = {"%": "%25", "{": "%7B", "}": "%7D"}
_ESCAPED = re.compile(r"%(25|7B|7D)")

# A template is a path's segments with None for each integer; a vector holds the integers.
_Template = tuple[str | None, ...]
_Vector = tuple[int, ...]
_Box = tuple[tuple[int, ...], ...]
_NaturalKey = tuple[tuple[int, int, str], ...]
_R = TypeVar("_R", bound=PathRow)


def escape_path(path: str) -> str:
    """A raw module path as a pattern that stands for itself alone."""
    if "%" in path or "{" in path or "}" in path:
        return "".join(_ESCAPES.get(char, char) for char in path)
    return path


def natural_key(path: str) -> _NaturalKey:
    """Sort key of a raw path: segment by segment, integers by value and before names."""
    if not path:
        return ()
    return tuple(map(_part_key, path.split(".")))


@lru_cache(maxsize=16_384)  # paths are made of few different parts
def _part_key(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if _INTEGER.fullmatch(part) else (1, 0, part)


def fold_rows(rows: Iterable[_R]) -> list[_R]:
    """Fold rows (raw paths, one row a module) into pattern rows, in natural order of first paths.

    Raises:
        HTPUsageError: two rows have the same path.
    """
    contents: dict[str, _R] = {}
    groups: dict[tuple[str, _Template], list[_Vector]] = {}
    for row in rows:
        content = replace(row, path="")
        key = repr([sorted(part.items()) if isinstance(part, dict) else part for part in astuple(content)])
        contents.setdefault(key, content)
        template, vector = split_path(row.path)
        groups.setdefault((key, template), []).append(vector)
    folded: list[tuple[_NaturalKey, str, str]] = []
    for (key, template), vectors in groups.items():
        if len(set(vectors)) != len(vectors):
            path = _render(template, tuple((n,) for n in vectors[0]))
            raise HTPUsageError(f"two rows describe one module: {path!r}; every module has exactly one row")
        folded += ((*_placed(template, box), key) for box in _boxes(vectors))
    folded.sort(key=lambda entry: entry[:2])
    return [replace(contents[key], path=pattern) for _, pattern, key in folded]


def fold_paths(paths: Iterable[str]) -> list[str]:
    """The fewest patterns found for a set of raw paths, in natural order of their first paths."""
    groups: dict[_Template, set[_Vector]] = {}
    for path in paths:
        template, vector = split_path(path)
        groups.setdefault(template, set()).add(vector)
    folded = [_placed(template, box) for template, vectors in groups.items() for box in _boxes(sorted(vectors))]
    return [pattern for _, pattern in sorted(folded)]


def expand_pattern(pattern: str, limit: int = MAX_PATHS) -> list[str]:
    """The raw paths a pattern stands for, first brace slowest.

    Raises:
        HTPUsageError: it is malformed, or stands for more than ``limit`` paths (checked before expanding).
    """
    if "{" not in pattern and "}" not in pattern:
        return [_unescape(pattern)]
    segments: list[Sequence[str]] = []
    ranges: list[list[range]] = []
    for segment in _split_pattern(pattern):
        if "{" in segment or "}" in segment:
            ranges.append(_parse_braces(segment, pattern))
            segments.append(())
        else:
            segments.append((_unescape(segment),))
    count = prod(sum(map(len, items)) for items in ranges)
    if count > limit:
        raise HTPUsageError(
            f"path pattern {_shorten(pattern)} stands for {count:,} modules; at most {limit:,} are accepted. "
            "Re-record the baseline with --snapshot-update"
        )
    numbers = iter([list(map(str, chain.from_iterable(items))) for items in ranges])
    choices = [segment or next(numbers) for segment in segments]
    return [".".join(parts) for parts in product(*choices)]


def unfold_rows(rows: Iterable[_R]) -> list[_R]:
    """One row per module with its raw path; values are shared with the folded row, not copied.

    Raises:
        HTPUsageError: a malformed pattern, a module described twice, or more than MAX_PATHS modules.
    """
    unfolded: dict[str, _R] = {}
    for row in rows:
        for path in expand_pattern(row.path, MAX_PATHS - len(unfolded)):
            if path in unfolded:
                raise HTPUsageError(f"two rows describe one module: {_shorten(path)}")
            unfolded[path] = replace(row, path=path)
    return list(unfolded.values())


def path_template(path: str) -> _Template:
    """A raw path's segments with None in place of integers: equal for paths that may fold together."""
    return split_path(path)[0]


def split_path(path: str) -> tuple[_Template, _Vector]:
    """A raw path's segments with None in place of integers, and those integers."""
    template: list[str | None] = []
    vector: list[int] = []
    for part in path.split("."):
        if part.isdigit() and _INTEGER.fullmatch(part):
            template.append(None)
            vector.append(int(part))
        else:
            template.append(part)
    return tuple(template), tuple(vector)


def _boxes(vectors: Sequence[_Vector]) -> list[_Box]:
    """Partition distinct vectors into cartesian products; of two greedy orders, the one with fewer products."""
    if len(vectors) == 1 or not vectors[0]:
        return [tuple((number,) for number in vectors[0])]
    positions = range(len(vectors[0]))
    inner_first = _merge(vectors, reversed(positions))
    if len(inner_first) == 1:
        return inner_first
    return min(inner_first, _merge(vectors, positions), key=len)


def _merge(vectors: Sequence[_Vector], positions: Iterable[int]) -> list[_Box]:
    boxes: list[_Box] = [tuple((number,) for number in vector) for vector in vectors]
    for position in positions:
        lines: dict[_Box, list[int]] = {}
        for box in boxes:
            lines.setdefault(box[:position] + box[position + 1 :], []).extend(box[position])
        boxes = [(*rest[:position], tuple(sorted(numbers)), *rest[position:]) for rest, numbers in lines.items()]
    return boxes


def _placed(template: _Template, box: _Box) -> tuple[_NaturalKey, str]:
    """A box's sort key (that of its first path) and its pattern."""
    if template == ("",):
        return (), ""
    firsts = iter(box)
    key = tuple((0, next(firsts)[0], "") if part is None else (1, 0, part) for part in template)
    return key, _render(template, box)


def _render(template: _Template, box: _Box) -> str:
    numbers = iter(box)
    return ".".join(_braces(next(numbers)) if part is None else escape_path(part) for part in template)


def _braces(numbers: tuple[int, ...]) -> str:
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


def _split_pattern(pattern: str) -> list[str]:
    """Split at the dots outside braces (``..`` occurs only inside them)."""
    segments: list[str] = []
    inside: list[str] = []
    for piece in pattern.split("."):
        inside.append(piece)
        if ("{" in piece or len(inside) > 1) and "}" not in piece:
            continue
        segments.append(".".join(inside))
        inside = []
    return segments + ([".".join(inside)] if inside else [])


def _parse_braces(segment: str, pattern: str) -> list[range]:
    items: list[range] = []
    inner = segment[1:-1] if segment.startswith("{") and segment.endswith("}") else ""
    for item in inner.split(","):
        match = _ITEM.fullmatch(item)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if high < low or (items and low < items[-1].stop):
            raise HTPUsageError(
                f"bad path pattern {_shorten(pattern)}: a brace is a whole segment of rising numbers "
                "and ranges, like 'encoder.layer.{0..4,6}'"
            )
        items.append(range(low, high + 1))
    return items


def _unescape(path: str) -> str:
    if "%" not in path:
        return path
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path)


def _shorten(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")
