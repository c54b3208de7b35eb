"""SQNR that is stored: near an edge between two steps it is a step higher or lower on another machine."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec
from msgspec.structs import replace

from pytest_htp.format.fold import fold_rows, unfold_rows
from pytest_htp.format.peaks import same_signal
from pytest_htp.format.record import SQNR_STEP, QualityRow


def with_stored_steps(before: dict[str, Any], current: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """The quality to store: today's, with the baseline's number wherever today's is within one step of it.

    Held against is what is stored, never what was measured since: where quality drifts slowly, the number moves as soon
    as it is more than a step away. Where no number moves the baseline's stays whole, with the counts of values and the
    peaks that it was measured with: other weights or sizes of a dynamic axis are no reason to rewrite it.

    Args:
        before: ``quality`` of the baseline.
        current: ``quality`` of today's record.
        tolerance: dB beyond which a move is reported: once accepted, it has to be in the file.
    """
    old, new = (msgspec.convert(quality, QualityRow) for quality in (before, current))
    most = min(SQNR_STEP, tolerance)

    def near(was: int | None, now: int | None) -> int | None:
        return now if was is None or now is None or abs(now - was) > most else was

    modules = {row.path: row for row in unfold_rows(old.modules)}
    outputs = {row.name: row for row in old.outputs}
    kept = [
        replace(row, sqnr=near(was.sqnr, row.sqnr), entering=near(was.entering, row.entering))
        for row in unfold_rows(new.modules)
        for was in [modules.get(row.path, row)]
    ]
    same = same_signal(old, new)
    given = [
        replace(row, sqnr=near(was.sqnr, row.sqnr), peak=(same and was.peak) or row.peak)
        for row in new.outputs
        for was in [outputs.get(row.name, row)]
    ]
    quality = replace(new, modules=sorted(fold_rows(kept), key=attrgetter("path")), outputs=given)
    if any(row.peak is not None for row in old.outputs) and _numbers(quality) == _numbers(old):
        return before
    values: dict[str, Any] = msgspec.to_builtins(quality)
    return values


def _numbers(quality: QualityRow) -> QualityRow:
    """Without what the numbers were measured with."""
    modules = [replace(row, values=None) for row in unfold_rows(quality.modules)]
    outputs = [replace(row, values=None, peak=None) for row in quality.outputs]
    return replace(quality, modules=sorted(modules, key=attrgetter("path")), outputs=outputs)
