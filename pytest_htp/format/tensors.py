"""Folding of graph inputs and outputs, whose order counts: the caches of 126 layers take two rows, not 252.

A folded row's ``name`` is a path pattern (``past_key_values.layers.{0..125}.keys``), its ``module`` one of as many
modules or a single path. The row's tensors take the first free place and then every ``every``-th, so that keys and
values of all layers, which alternate, are two rows with ``"every": 2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import MAX_PATHS, escape_path, expand_pattern, split_path
from pytest_htp.format.record import TensorRow

_REMEDY = "re-record the baseline with --snapshot-update"


class _Place:
    """One tensor of a group: its position, and the integers in its name and in its module's path."""

    def __init__(self, position: int, row: TensorRow) -> None:
        self.position, self.row = position, row
        self.name = split_path(row.name)[1]
        self.module = split_path(row.module)[1] if row.module is not None else ()

    def step_to(self, other: _Place, axis: int) -> tuple[int, tuple[int, ...]] | None:
        """What leads from this tensor to the next of its row, None where that one can't be."""
        if other.name[axis] != self.name[axis] + 1:
            return None
        module = tuple(b - a for a, b in zip(self.module, other.module, strict=True))
        consecutive = sum(module) <= 1 and all(delta in (0, 1) for delta in module)
        return (other.position - self.position, module) if consecutive else None


def fold_tensors(rows: Sequence[TensorRow]) -> list[TensorRow]:
    """Fold rows with raw names and raw module paths; :func:`list_tensors` gives them back."""
    groups: dict[tuple[object, ...], list[_Place]] = {}
    for position, row in enumerate(rows):
        module = None if row.module is None else split_path(row.module)[0]
        key = split_path(row.name)[0], module, repr(replace(row, name="", module=None))
        groups.setdefault(key, []).append(_Place(position, row))
    runs = [run for places in groups.values() for run in _fewest_runs(places)]
    runs.sort(key=lambda run: run[0].position)
    return [_folded(run) for run in runs]


def _fewest_runs(places: list[_Place]) -> list[list[_Place]]:
    """Split a group into runs along one integer of the name: the one that gives the fewest."""
    if len(places) == 1:
        return [places]
    choices = [_runs(places, axis) for axis in range(len(places[0].name))]
    return min(choices, key=len, default=[[place] for place in places])


def _runs(places: list[_Place], axis: int) -> list[list[_Place]]:
    lines: dict[tuple[int, ...], list[_Place]] = {}
    for place in places:
        lines.setdefault(place.name[:axis] + place.name[axis + 1 :], []).append(place)
    runs: list[list[_Place]] = []
    for line in lines.values():
        step: tuple[int, tuple[int, ...]] | None = None
        run = [line[0]]
        for place in line[1:]:
            found = run[-1].step_to(place, axis)
            if found is None or (len(run) > 1 and found != step):
                runs.append(run)
                run = [place]
            else:
                run.append(place)
                step = found
        runs.append(run)
    return runs


def _folded(run: list[_Place]) -> TensorRow:
    first = run[0].row
    if len(run) == 1:
        return replace(first, name=escape_path(first.name), module=first.module and escape_path(first.module))
    (name,) = fold_paths(place.row.name for place in run)
    module = first.module
    if module is not None:
        (module,) = fold_paths({place.row.module or "" for place in run})
    return replace(first, name=name, module=module, every=run[1].position - run[0].position)


def list_tensors(rows: Iterable[TensorRow]) -> list[TensorRow]:
    """One row per tensor in the graph's order, with raw names and module paths.

    Raises:
        HTPUsageError: a malformed pattern, too many tensors, or rows that don't fill all places.
    """
    placed: dict[int, TensorRow] = {}
    free = 0
    for row in rows:
        names = expand_pattern(row.name, MAX_PATHS - len(placed))
        modules = [None] if row.module is None else expand_pattern(row.module, MAX_PATHS)
        if len(modules) not in (1, len(names)):
            made = f"{len(names)} tensors in one row are made by {len(modules)} modules"
            raise HTPUsageError(f"{made}: {_REMEDY}")
        while free in placed:
            free += 1
        for index, name in enumerate(names):
            place = free + index * row.every
            if place in placed:
                raise HTPUsageError(f"two tensors have place {place} among inputs or outputs: {_REMEDY}")
            module = modules[index if len(modules) > 1 else 0]
            placed[place] = replace(row, name=name, module=module, every=1)
    if len(placed) and max(placed) >= len(placed):
        raise HTPUsageError(f"inputs or outputs have a gap: {_REMEDY}")
    return [placed[place] for place in sorted(placed)]
