"""SQNR that is stored: near an edge between two steps it is a step higher or lower on another machine."""

from __future__ import annotations

from operator import attrgetter

from msgspec.structs import replace

from pytest_htp.format.extremes import same_signal
from pytest_htp.format.fold import fold_rows, unfold_rows
from pytest_htp.format.record import SQNR_STEP, QualityRow


def with_stored_steps(before: QualityRow, current: QualityRow, tolerance: float) -> QualityRow:
    """The quality to store: today's, with the baseline's number wherever today's is within one step of it.

    Held against is what is stored, never what was measured since: where quality drifts slowly, the number moves as soon
    as it is more than a step away. A move beyond ``tolerance`` (dB) is reported: accepted, it has to be in the file.
    Where no number moves the baseline's quality stays whole, with the counts of values and the extremes that it was
    measured with: other weights or sizes of a dynamic axis are no reason to rewrite it.
    """
    most = min(SQNR_STEP, tolerance)

    def near(was: int | None, now: int | None) -> int | None:
        return now if was is None or now is None or abs(now - was) > most else was

    modules = {row.path: row for row in unfold_rows(before.modules)}
    outputs = {row.name: row for row in before.outputs}
    kept = [
        replace(row, sqnr=near(was.sqnr, row.sqnr), entering=near(was.entering, row.entering))
        for row in unfold_rows(current.modules)
        for was in [modules.get(row.path, row)]
    ]
    same = same_signal(before, current)
    given = [
        replace(row, sqnr=near(was.sqnr, row.sqnr), extremes=(was.extremes if same else None) or row.extremes)
        for row in current.outputs
        for was in [outputs.get(row.name, row)]
    ]
    quality = replace(current, modules=sorted(fold_rows(kept), key=attrgetter("path")), outputs=given)
    measured_with = any(row.extremes is not None for row in before.outputs)
    return before if measured_with and numbers_of(quality) == numbers_of(before) else quality


def numbers_of(quality: QualityRow) -> QualityRow:
    """Without what the numbers were measured with, a row for each module."""
    modules = [replace(row, values=None) for row in unfold_rows(quality.modules)]
    outputs = [replace(row, values=None, extremes=None) for row in quality.outputs]
    return replace(quality, modules=sorted(modules, key=attrgetter("path")), outputs=outputs)
