"""Folding: repeated identical layers share one row, ``encoder.layer.{0..11}.attention``.

Rows (or bare paths) merge when they are equal in everything but their path and their paths differ only in integer
segments. A pattern always stands for the exact cartesian product of its braces, so folding loses nothing:
``unfold_rows(fold_rows(rows))`` gives the rows back. The grammar is in :mod:`pytest_htp.format.paths`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import product
from typing import TypeVar

from msgspec.structs import astuple, replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import (
    MAX_PATHS,
    NaturalKey,
    Template,
    Vector,
    expand_pattern,
    render_pattern,
    shortened,
    split_path,
)
from pytest_htp.format.record import PathRow

_Box = tuple[tuple[int, ...], ...]
_R = TypeVar("_R", bound=PathRow)
_V = TypeVar("_V")


def fold_rows(rows: Iterable[_R]) -> list[_R]:
    """Fold rows (raw paths, one row a module) into pattern rows, in natural order of first paths.

    Raises:
        HTPUsageError: two rows have the same path.
    """
    representatives: dict[str, _R] = {}
    groups: dict[tuple[str, Template], list[Vector]] = {}
    for row in rows:
        content = replace(row, path="")
        key = repr([sorted(part.items()) if isinstance(part, dict) else part for part in astuple(content)])
        representatives.setdefault(key, content)
        template, vector = split_path(row.path)
        groups.setdefault((key, template), []).append(vector)
    folded: list[tuple[NaturalKey, str, str]] = []
    for (key, template), vectors in groups.items():
        if len(set(vectors)) != len(vectors):
            path = render_pattern(template, ((n,) for n in vectors[0]))
            raise HTPUsageError(f"two rows describe one module: {path!r}; every module has exactly one row")
        folded += ((*_placed(template, box), key) for box in _boxes(vectors))
    return [replace(representatives[key], path=pattern) for _, pattern, key in sorted(folded)]


def fold_paths(paths: Iterable[str]) -> list[str]:
    """The fewest patterns found for a set of raw paths, in natural order of their first paths."""
    groups: dict[Template, set[Vector]] = {}
    for path in paths:
        template, vector = split_path(path)
        groups.setdefault(template, set()).add(vector)
    folded = [_placed(template, box) for template, vectors in groups.items() for box in _boxes(sorted(vectors))]
    return [pattern for _, pattern in sorted(folded)]


def fold_alike(items: Sequence[tuple[str, Hashable, _V]]) -> list[tuple[str, _V, int]]:
    """Fold what is alike and differs in the integers of its path only, in the order that it has.

    Args:
        items: ``(raw path, what makes it alike, value)``; no path twice.

    Returns:
        ``(pattern, value of the first that it stands for, how many it stands for)``, in order of the first ones.
    """
    groups: dict[tuple[Hashable, Template], dict[Vector, int]] = {}
    for position, (path, kind, _) in enumerate(items):
        template, vector = split_path(path)
        groups.setdefault((kind, template), {})[vector] = position
    folded: list[tuple[int, str, int]] = []
    for (_, template), positions in groups.items():
        for box in _boxes(list(positions)):
            members = [positions[vector] for vector in product(*box)]
            folded.append((min(members), render_pattern(template, box), len(members)))
    return [(pattern, items[first][2], count) for first, pattern, count in sorted(folded)]


def unfold_rows(rows: Iterable[_R]) -> list[_R]:
    """One row per module with its raw path; values are shared with the folded row, not copied.

    Raises:
        HTPUsageError: a malformed pattern, a module described twice, or more than MAX_PATHS modules.
    """
    unfolded: dict[str, _R] = {}
    for row in rows:
        for path in expand_pattern(row.path, MAX_PATHS - len(unfolded)):
            if path in unfolded:
                raise HTPUsageError(f"two rows describe one module: {shortened(path)}")
            unfolded[path] = replace(row, path=path)
    return list(unfolded.values())


def _boxes(vectors: Sequence[Vector]) -> list[_Box]:
    """Partition distinct vectors into cartesian products; of two greedy orders, the one with fewer products."""
    positions = range(len(vectors[0]))
    inner_first = _merge(vectors, reversed(positions))
    if len(inner_first) == 1:
        return inner_first
    return min(inner_first, _merge(vectors, positions), key=len)


def _merge(vectors: Sequence[Vector], positions: Iterable[int]) -> list[_Box]:
    boxes: list[_Box] = [tuple((number,) for number in vector) for vector in vectors]
    for position in positions:
        lines: dict[_Box, list[int]] = {}
        for box in boxes:
            lines.setdefault(box[:position] + box[position + 1 :], []).extend(box[position])
        boxes = [(*rest[:position], tuple(sorted(numbers)), *rest[position:]) for rest, numbers in lines.items()]
    return boxes


def _placed(template: Template, box: _Box) -> tuple[NaturalKey, str]:
    """A box's sort key (that of its first path) and its pattern."""
    firsts = iter(box)
    key = tuple((0, next(firsts)[0], "") if part is None else (1, 0, part) for part in template)
    return key, render_pattern(template, box)
