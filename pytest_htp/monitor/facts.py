"""What is known of an export, as distinct from what merely has a default value.

``HTPExportData`` counts start at 0; these functions give None where nothing was measured, so that no writer
prints a zero nobody counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_htp.format.record import CoverageRow
from pytest_htp.vocabulary import HTPExportData, HTPExportStep


def modules(data: HTPExportData) -> int | None:
    """Registered modules; None where they were not counted."""
    return data.total_modules or len(data.hierarchy) or None


def parameters(data: HTPExportData) -> int | None:
    """Parameter elements. A counted model has modules (its root at least), so 0 is then a measurement."""
    return data.total_parameters if data.total_parameters or data.total_modules else None


def execution_steps(data: HTPExportData) -> int | None:
    """Entries and exits of module calls in the watched forward pass; None where it was not watched."""
    return data.execution_steps or None


def nodes(data: HTPExportData) -> int | None:
    """Nodes of the graph. A graph may be empty, so 0 counts once the coverage was taken."""
    counted = data.total_nodes or data.tagging_stats or data.coverage is not None
    return data.total_nodes if counted else None


def coverage(data: HTPExportData) -> dict[str, int | float]:
    """The coverage figures that were taken, in the order of ``CoverageRow``; other statistics after them."""
    stats = dict(data.tagging_stats)
    if data.coverage is not None:
        stats.setdefault("coverage", data.coverage)
    ordered = {key: stats.pop(key) for key in CoverageRow.__struct_fields__ if key in stats}
    return {**ordered, **dict(sorted(stats.items()))}


def status(data: HTPExportData, step: HTPExportStep) -> str | None:
    """What was logged of a step: ``completed``, ``failed``, ``skipped``; None: it was not reached."""
    found = data.steps.get(step.value, {}).get("status")
    return str(found) if found is not None else None


def step_seconds(data: HTPExportData, step: HTPExportStep) -> float | None:
    """Wall time of a step; None where there is none, as for the zero of a step that was skipped."""
    took = _number(data.steps.get(step.value, {}).get("seconds"))
    return None if not took and status(data, step) == "skipped" else took


def notes(data: HTPExportData, step: HTPExportStep) -> list[str]:
    """What exporters said while the step ran (warnings, log lines), where it was kept."""
    found = data.steps.get(step.value, {}).get("notes")
    return [str(note) for note in found] if isinstance(found, list | tuple) else []


def verdict(data: HTPExportData) -> str:
    """``completed`` (all steps), ``failed`` (by a step, or any error but a writer's), ``incomplete``."""
    states = [status(data, step) for step in HTPExportStep]
    if "failed" in states or any("writer" not in error for error in data.errors):
        return "failed"
    done = all(state in ("completed", "skipped") for state in states)
    return "completed" if done else "incomplete"


def parity_outputs(data: HTPExportData) -> Iterator[dict[str, object]]:
    """The compared graph outputs, where parity was measured."""
    outputs = (data.parity or {}).get("outputs")
    yield from (output for output in outputs or () if isinstance(output, dict))


def further_sets(data: HTPExportData) -> list[str]:
    """Names of the further input sets that outputs were compared on; failed ones say so."""
    sets = (data.parity or {}).get("input_sets") or {}
    return [
        f"{name}: beyond tolerance"
        if any(output.get("beyond") or output.get("shape_mismatch") or output.get("undeclared") for output in outputs)
        else str(name)
        for name, outputs in sets.items()
    ]


def not_measured(part: dict[str, object] | None) -> str | None:
    """Why parity or attestation says it was not measured; None where it was, or nothing is known."""
    if part is None or part.get("measured", True):
        return None
    return str(part.get("reason") or "no reason given")


def tensor(described: Mapping[str, object]) -> tuple[str, str]:
    """Name of a tensor, and its element type and shape: ``int64 [2, ?]``."""
    shape = described.get("shape")
    dims = ["?" if dim is None else str(dim) for dim in shape] if isinstance(shape, list | tuple) else ["?"]
    return str(described.get("name", "")), f"{described.get('dtype') or '?'} [{', '.join(dims)}]"


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
