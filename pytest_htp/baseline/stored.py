"""A baseline that is there, and what of it stays when today's export is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pytest_htp.baseline.steps import numbers_of, with_stored_steps
from pytest_htp.format.record import ParityRow, Record, StageRecord

# Parity is noise below this many decades of change (parity.worse in docs/reference/codes.md); a smaller change is not
# worth a new file.
_PARITY_DECADES = 2

# Equal in two records of one graph, whether or not weights and ONNX Runtime were there; a stage has no model.
_STRUCTURE = ("graph", "inputs", "model", "modules", "opset", "outputs", "untagged")

# What edition 1, or a version before this one, did not hold: its absence from a baseline is no difference.
_LATER_IN_MODULES = ("program", "flops", "attention_flops", "params_bytes", "activation_bytes")

_Graph = TypeVar("_Graph", Record, StageRecord)
_Row = TypeVar("_Row", bound=Struct)


@dataclass(frozen=True)
class Stored:
    """A baseline file that is there.

    Attributes:
        record: None where it can't be read.
        problem: why it can't be read.
        remedy: a shell's command that mends it, where accepting today's export would not.
    """

    path: Path
    record: Record | None
    problem: str | None = None
    remedy: str = ""

    def holds(self, current: Record, quality_tolerance: float) -> bool:
        """Whether it says what storing ``current`` would say, as far as its edition could."""
        before = self.record
        if before is None:
            return False
        stages = {stage.name: stage for stage in before.stages}
        today = replace(
            _as_far_as(before, current),
            test=None if before.test is None else current.test,
            export=None if before.export is None else current.export,
            stages=[_measured_as_far_as(stages.get(stage.name), stage) for stage in current.stages],
        )
        return before == carried_over(before, _measured_as_far_as(before, today), quality_tolerance)


def _as_far_as(before: _Graph, current: _Graph) -> _Graph:
    """``current`` without what ``before`` never held."""
    return replace(
        current,
        modules=_without_later(before.modules, current.modules, _LATER_IN_MODULES),
        outputs=_without_later(before.outputs, current.outputs, ("value",)),
        untagged=_without_later([before.untagged], [current.untagged], ("program",))[0],
    )


def _measured_as_far_as(before: _Graph | None, current: _Graph) -> _Graph:
    """A graph without what a quality measured by a version before did not hold."""
    was, now = before.quality if before is not None else None, current.quality
    if was is None or now is None or not (was.measured and now.measured):
        return current
    if any(row.extremes is not None for row in was.outputs):
        return current
    return replace(current, quality=numbers_of(now))


def _without_later(before: Sequence[_Row], current: Sequence[_Row], names: Sequence[str]) -> list[_Row]:
    """Today's rows without those of the named values of which no row of the baseline has any."""
    unknown = {name: None for name in names if all(getattr(row, name) is None for row in before)}
    return [replace(row, **unknown) for row in current]


def carried_over(before: Record | None, current: Record, quality_tolerance: float) -> Record:
    """The record to store: today's, with what today could not measure taken from the baseline.

    So a team can record with real weights and gate without them; and parity and quality that moved within their noise
    leave the file as it is, those of stages too. What was measured holds for the graph it was measured on: with another
    structure the record says "not measured".
    """
    if before is None:
        return current
    known = {stage.name: stage for stage in before.stages}
    stages = [
        _graph_carried_over(known[stage.name], stage, quality_tolerance) if stage.name in known else stage
        for stage in current.stages
    ]
    return replace(_graph_carried_over(before, current, quality_tolerance), stages=stages)


def _graph_carried_over(before: _Graph, current: _Graph, quality_tolerance: float) -> _Graph:
    """The same of one graph: an export's, or a stage's."""
    was = before.quality if before.quality is not None and before.quality.measured else None
    if was is not None and current.quality is not None and current.quality.measured:
        current = replace(current, quality=with_stored_steps(was, current.quality, quality_tolerance))
    today = _as_far_as(before, current)
    if any(getattr(before, section, None) != getattr(today, section, None) for section in _STRUCTURE):
        return current
    if before.attestation.measured and not current.attestation.measured:
        current = replace(current, attestation=before.attestation)
    if was is not None and not current.parity.measured:  # which quality is measured with
        current = replace(current, quality=was)
    if before.weights.kept and not current.weights.kept:
        weights = replace(current.weights, kept=True, duplicates=before.weights.duplicates)
        current = replace(current, weights=weights)
    if before.parity.measured and (not current.parity.measured or _same_but_noise(before.parity, current.parity)):
        current = replace(current, parity=before.parity)
    return current


def _same_but_noise(before: ParityRow, current: ParityRow) -> bool:
    if [row.name for row in before.outputs] != [row.name for row in current.outputs]:
        return False
    if (before.failed, before.first_divergence) != (current.failed, current.first_divergence):
        return False
    return all(
        abs(_decade(was) - _decade(now)) <= _PARITY_DECADES
        for old, new in zip(before.outputs, current.outputs, strict=True)
        for was, now in ((old.max_abs, new.max_abs), (old.max_rel, new.max_rel))
    )


def _decade(text: str | None) -> float:
    value = math.inf if text is None else float(text)
    return math.log10(value) if 0 < value < math.inf else (-300.0 if value == 0 else 300.0)
