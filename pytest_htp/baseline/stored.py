"""A baseline that is there, and what of it stays when today's export is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_htp.baseline.steps import with_stored_steps
from pytest_htp.format.serialize import dumps

# Parity is noise below this many decades of change (parity.worse in docs/reference/codes.md); a smaller change is not
# worth a new file.
_PARITY_DECADES = 2

# Equal in two records of one graph, whether or not weights and ONNX Runtime were there.
_STRUCTURE = ("graph", "inputs", "model", "modules", "opset", "outputs", "untagged")

# What edition 1, or a version before this one, did not hold: its absence from a baseline is no difference.
_LATER = ("test", "export")
_LATER_IN_ROWS = {
    "modules": ("program", "flops", "attention_flops", "params_bytes", "activation_bytes"),
    "outputs": ("value",),
    "untagged": ("program",),
}


@dataclass(frozen=True)
class Stored:
    """A baseline file that is there.

    Attributes:
        record: None where it can't be read.
        problem: why it can't be read.
        remedy: a shell's command that mends it, where accepting today's export would not.
    """

    path: Path
    record: dict[str, Any] | None
    problem: str | None = None
    remedy: str = ""

    def holds(self, current: dict[str, Any], quality_tolerance: float) -> bool:
        """Whether it says what storing ``current`` would say, as far as its edition could."""
        if self.record is None:
            return False
        today = _as_far_as(self.record, current)
        if "stages" in today:
            before = {stage["name"]: stage for stage in self.record.get("stages", ())}
            today["stages"] = [_measured_as_far_as(before.get(stage["name"], {}), stage) for stage in today["stages"]]
        today = _measured_as_far_as(self.record, today)
        return dumps(self.record) == dumps(carried_over(self.record, today, quality_tolerance))


def _as_far_as(before: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """``current`` without what ``before`` never held."""
    today = {key: value for key, value in current.items() if key not in _LATER or key in before}
    for section, names in _LATER_IN_ROWS.items():
        rows = before[section] if isinstance(before[section], list) else [before[section]]
        unknown = {name for name in names if not any(name in row for row in rows)}
        if unknown:
            kept = today[section]
            today[section] = (
                [_without(row, unknown) for row in kept] if isinstance(kept, list) else _without(kept, unknown)
            )
    return today


def _measured_as_far_as(before: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """A graph without what a quality measured by a version before did not hold."""
    was, now = (graph.get("quality", {}) for graph in (before, current))
    if not was.get("measured") or not now.get("measured") or any("peak" in row for row in was.get("outputs", ())):
        return current
    rows = {key: [_without(row, {"values", "peak"}) for row in now.get(key, ())] for key in ("modules", "outputs")}
    return {**current, "quality": {**now, **rows}}


def _without(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: item for key, item in row.items() if key not in names}


def carried_over(before: dict[str, Any] | None, current: dict[str, Any], quality_tolerance: float) -> dict[str, Any]:
    """The record to store: today's, with what today could not measure taken from the baseline.

    So a team can record with real weights and gate without them; and parity and quality that moved within their noise
    leave the file as it is, those of stages too. What was measured holds for the graph it was measured on: with another
    structure the record says "not measured".
    """
    if before is None:
        return current
    merged = _graph_carried_over(before, current, quality_tolerance)
    if "stages" in current:
        stages = {stage["name"]: stage for stage in before.get("stages", ())}
        merged["stages"] = [
            _graph_carried_over(stages[stage["name"]], stage, quality_tolerance) if stage["name"] in stages else stage
            for stage in current["stages"]
        ]
    return merged


def _graph_carried_over(before: dict[str, Any], current: dict[str, Any], quality_tolerance: float) -> dict[str, Any]:
    """The same of one graph: an export's, or a stage's."""
    merged = dict(current)
    was, now = (record.get("quality", {"measured": False}) for record in (before, current))
    if was["measured"] and now["measured"]:
        merged["quality"] = with_stored_steps(was, now, quality_tolerance)
    today = _as_far_as(before, current)
    if any(before.get(section) != today.get(section) for section in _STRUCTURE):
        return merged
    for section in ("parity", "attestation"):
        if before[section].get("measured") and not current[section].get("measured"):
            merged[section] = before[section]
    if was["measured"] and not current["parity"].get("measured"):  # which quality is measured with
        merged["quality"] = was
    if before["weights"]["kept"] and not current["weights"]["kept"]:
        merged["weights"] = {**current["weights"], "kept": True, "duplicates": before["weights"]["duplicates"]}
    if (
        before["parity"].get("measured")
        and current["parity"].get("measured")
        and _same_but_noise(before["parity"], current["parity"])
    ):
        merged["parity"] = before["parity"]
    return merged


def _same_but_noise(before: dict[str, Any], current: dict[str, Any]) -> bool:
    if [row["name"] for row in before["outputs"]] != [row["name"] for row in current["outputs"]]:
        return False
    if before.get("failed") != current.get("failed"):
        return False
    if before.get("first_divergence") != current.get("first_divergence"):
        return False
    return all(
        abs(_decade(old[key]) - _decade(new[key])) <= _PARITY_DECADES
        for old, new in zip(before["outputs"], current["outputs"], strict=True)
        for key in ("max_abs", "max_rel")
    )


def _decade(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 300.0
    return math.log10(value) if 0 < value < math.inf else (-300.0 if value == 0 else 300.0)
