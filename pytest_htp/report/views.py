"""What the page shows of an export, worked out before any template runs.

Templates only place and escape; every comparison, share and unit is decided here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.format.record import Record, TensorRow
from pytest_htp.report.model import is_failed
from pytest_htp.report.result import BaselineState, ExportResult, FindingRow, StepError
from pytest_htp.report.text import NAME_LIMIT, duration, inert, percent, signed, size
from pytest_htp.vocabulary import HTPExportStep

EVIDENCE = ("direct", "fused", "inferred", "none")
_ARTIFACTS = re.compile(r"exports/[\w.-]+")
_VALUE_LIMIT = 300


def anchor(result: ExportResult) -> str:
    """The element id of an export: stable between runs, safe whatever the test is called."""
    key = f"{result.nodeid}\0{result.name}"
    return "e-" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def model_class(result: ExportResult) -> str:
    """Class of the exported model, or an empty string."""
    if not result.record and result.model_class:  # it stopped before there was a record
        return result.model_class
    record = result.current or result.stored
    return record.model.class_name if record else ""


def accept_title(result: ExportResult) -> str:
    """What that command does."""
    titles = {
        BaselineState.MISSING: "Create the baseline",
        BaselineState.ERROR: "Replace the baseline",
        BaselineState.UNWRITTEN: "Write the baseline, once it can be",
        BaselineState.NO_EXPORT: "Delete the baseline",
    }
    return titles.get(result.baseline_status, "Accept the change")


def value_text(value: Any) -> str:
    """A finding's ``before`` or ``after`` on one line."""
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 1] + "…"


_NOT_COMPARED = {
    BaselineState.MISSING: "no baseline",
    BaselineState.CREATED: "new baseline",
    BaselineState.OFF: "not compared",
    BaselineState.ERROR: "bad baseline",
    BaselineState.UNWRITTEN: "baseline not written",
}
_STATUS = {
    BaselineState.UPDATED: "baseline updated",
    BaselineState.ERROR: "unreadable baseline",
    BaselineState.NO_EXPORT: "no longer exported",
}
_TEST_FAILED, _TEST_SKIPPED = "test failed", "test skipped"
# Labels that tell of a failure; the others tell that there is nothing to judge.
_FAILURES = ("incomplete", _TEST_FAILED, "bad baseline", "baseline not written")


def verdict_label(result: ExportResult) -> str:
    """What to say instead of "unchanged" where nothing was compared, or the test failed all the same.

    Empty where the verdict says it all.
    """
    if result.verdict != "unchanged":
        return ""
    status = result.baseline_status
    if status not in (BaselineState.MISSING, BaselineState.ERROR, BaselineState.UNWRITTEN):  # which say what failed
        if is_failed(result):
            return _TEST_FAILED
        if result.outcome == "skipped":
            return _TEST_SKIPPED
    return _NOT_COMPARED.get(status, "")


def label_kind(label: str) -> str:
    """Whose colour and symbol a label has: ``breaking``'s where something failed, else ``open``."""
    return "breaking" if label in _FAILURES else "open"


def verdict_counts(exports: Iterable[ExportResult]) -> dict[str, int]:
    """Exports by verdict, worst first, then by the reason for which they were not compared; no zeros."""
    counts = Counter(verdict_label(result) or result.verdict for result in exports)
    known = [*VERDICTS, _TEST_FAILED, _TEST_SKIPPED, *_NOT_COMPARED.values()]
    return {word: counts[word] for word in known if counts[word]}


def finding_words(item: FindingRow) -> str:
    """What stands before a finding's message: ``fusion.lost [ort:extended]``."""
    return inert(item.code + (f" [{item.stage}]" if item.stage else ""), NAME_LIMIT)


def step_words(error: StepError) -> str:
    """The failed step of an export's error, in words."""
    return inert((error.step or "an unknown step").replace("_", " "), NAME_LIMIT)


def state_words(result: ExportResult) -> list[str]:
    """What else a reader must know beside the verdict, worst first."""
    words = []
    if result.error:
        words.append(f"failed at {step_words(result.error)}")
    elif result.outcome != "passed" and verdict_label(result) not in (_TEST_FAILED, _TEST_SKIPPED):
        words.append(f"test {result.outcome}")
    if status := _STATUS.get(result.baseline_status):
        words.append(status)
    elif result.verdict != "unchanged" and result.baseline_status in (
        BaselineState.MISSING,
        BaselineState.CREATED,
        BaselineState.UNWRITTEN,
    ):
        words.append(_NOT_COMPARED[result.baseline_status])
    if result.shared_with:
        words.append("shares another test's export")
    return words


def change(after: float | None, before: float | None, unit: str = "") -> str:
    """``+12``, or an empty string where nothing changed or one side is unknown."""
    if after is None or before is None or after == before:
        return ""
    return signed(after - before if isinstance(after, int) else round(after - before, 2), unit)


def size_change(after: int | None, before: int | None) -> str:
    """``+1.2 MB``, or an empty string."""
    if after is None or before is None or after == before:
        return ""
    return ("+" if after > before else "−") + size(abs(after - before))


def nodes_before(result: ExportResult) -> int | None:
    """Nodes of the baseline's graph."""
    return result.stored.graph.nodes if result.stored else None


def bytes_before(result: ExportResult) -> int | None:
    """Initializer bytes of the baseline's graph."""
    return result.stored.weights.initializers.bytes if result.stored else None


def coverage_view(result: ExportResult) -> dict[str, Any] | None:
    """Coverage, its change, and the evidence split as parts of a bar 100 wide."""
    coverage = result.coverage
    if not coverage:
        return None
    before = result.coverage_before
    total = coverage.total_nodes
    parts, x = [], 0.0
    for kind in EVIDENCE:
        count: int = getattr(coverage, kind)
        share = 100 * count / total if total else 0.0
        if count:
            parts.append({"kind": kind, "count": count, "x": round(x, 2), "width": round(share, 2)})
        x += share
    return {
        "text": percent(coverage.coverage),
        "change": change(coverage.coverage, before.coverage if before else None, " pt"),
        "worse": before is not None and coverage.coverage < before.coverage,
        "direct": percent(coverage.direct_coverage),
        "direct_change": change(coverage.direct_coverage, before.direct_coverage if before else None, " pt"),
        "root_share": percent(coverage.root_share),
        "parts": parts,
        "words": ", ".join(f"{part['count']} {part['kind']}" for part in parts) or "no nodes",
    }


def attestation_view(result: ExportResult) -> dict[str, Any] | None:
    """Attested, contradicted and unmatched modules; the reason where nothing was measured."""
    attestation = result.attestation
    if not attestation:
        return None
    if not attestation.get("measured"):
        return {"measured": False, "reason": attestation.get("reason") or "not measured"}
    before = result.stored.attestation if result.stored else None
    attested = attestation.get("attested")
    contradicted = attestation.get("contradicted") or []
    return {
        "measured": True,
        "attested": attested,
        "change": change(attested, before.attested if before and before.measured else None),
        "contradicted": contradicted,
        "unmatched": attestation.get("unmatched") or [],
    }


def parity_view(result: ExportResult) -> dict[str, Any] | None:
    """The worst difference over the graph's outputs, and the baseline's."""
    parity = result.parity
    if not parity:
        return None
    if not parity.get("measured"):
        return {"measured": False, "reason": parity.get("reason") or "not measured"}
    worst = _worst(output.get("max_abs") for output in parity.get("outputs") or ())
    before = _worst(output.max_abs for output in result.stored.parity.outputs) if result.stored else ""
    return {
        "measured": True,
        "worst": worst or "–",
        # A baseline holds decades, rounded up: only a larger number is a change.
        "before": before if before and _as_float(worst) > _as_float(before) else "",
        "failed": parity.get("failed") or [],
        "first_divergence": _divergence(parity.get("first_divergence")),
        "outputs": [
            {**output, "max_abs": _short(output.get("max_abs")), "max_rel": _short(output.get("max_rel"))}
            for output in parity.get("outputs") or []
        ],
        "sets": [
            {
                "name": name,
                "failed": any(
                    output.get("beyond") or output.get("shape_mismatch") or output.get("undeclared")
                    for output in outputs
                ),
            }
            for name, outputs in (parity.get("input_sets") or {}).items()
        ],
    }


def _divergence(entering: Any) -> dict[str, str] | None:
    """Module and size of a first divergence; a record has the module's path only."""
    if entering is None:
        return None
    if not isinstance(entering, Mapping):
        return {"module": str(entering), "size": ""}
    return {"module": str(entering.get("module")), "size": f"relative {_short(entering.get('max_rel'))}"}


def _short(value: Any) -> str:
    """A difference with three digits; a decade of a record as it is."""
    if value is None:
        return "not finite"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _worst(differences: Iterable[float | str | None]) -> str:
    """The largest; empty where there is none."""
    return max((_short(found) for found in differences if found is not None), key=_as_float, default="")


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")  # "nan" parses; anything else that does not is worth seeing


def steps_view(result: ExportResult) -> list[dict[str, Any]]:
    """The steps that ran, in order, with where each begins and ends on an axis 100 wide."""
    steps = result.steps
    total = sum(step.seconds or 0 for step in steps.values() if step.status != "skipped")
    rows, x = [], 0.0
    for step in HTPExportStep:
        data = steps.get(step.value)
        if data is None:
            continue
        seconds = None if data.status == "skipped" else data.seconds  # it took no time, it did not run
        width = 100 * (seconds or 0) / total if total else 0.0
        rows.append(
            {
                "number": step.number,
                "title": step.title,
                "status": data.status,
                "seconds": duration(seconds),
                "x": round(x, 2),
                "width": 0.0 if seconds is None else round(max(width, 0.4), 2),
            }
        )
        x += width
    return rows


def contract_view(result: ExportResult) -> list[dict[str, Any]]:
    """Inputs and outputs, today's and the baseline's side by side; empty without a record."""
    record, before = result.current, result.stored
    if record is None:
        return []
    rows = []
    for kind, today, earlier in (
        ("input", record.inputs, before.inputs if before else ()),
        ("output", record.outputs, before.outputs if before else ()),
    ):
        known = {item.name: item for item in earlier}
        names = {item.name for item in today}
        for item in today:
            old = known.get(item.name)
            text = _tensor(item)
            old_text = _tensor(old) if old else ""
            status = "same" if before is None or text == old_text else "changed" if old else "added"
            rows.append({"kind": kind, "name": item.name, "before": old_text, "after": text, "status": status})
        for name, old in known.items():
            if name not in names:
                row = {"kind": kind, "name": name, "before": _tensor(old), "after": "", "status": "removed"}
                rows.append(row)
    return rows


def _tensor(item: TensorRow) -> str:
    if item.dims is None:
        return f"{item.dtype} (rank unknown)"
    return f"{item.dtype} [{', '.join('?' if dim is None else str(dim) for dim in item.dims)}]"


def toolchain_view(result: ExportResult) -> list[dict[str, Any]]:
    """Versions and opsets, today's and the baseline's."""
    if result.current is None:  # what it stopped with is not known
        return []
    now, then = _versions(result.current), _versions(result.stored) if result.stored else {}
    rows = []
    for name in sorted(now.keys() | then.keys()):
        new, old = now.get(name, "–"), then.get(name, "–") if result.stored else ""
        rows.append({"name": name, "before": old, "after": new, "changed": result.stored is not None and old != new})
    return rows


def _versions(record: Record) -> dict[str, str]:
    opsets = {f"opset {domain or 'ai.onnx'}": str(version) for domain, version in record.opset.items()}
    return record.toolchain | opsets


def artifacts_link(result: ExportResult) -> str:
    """The folder of the export's files relative to the page, or an empty string where it is not inside."""
    folder = str(result.artifacts or "")
    return f"{folder}/" if _ARTIFACTS.fullmatch(folder) and ".." not in folder else ""


def histogram_changes(after: Mapping[str, int], before: Mapping[str, int]) -> tuple[str, str]:
    """The entries that differ, as ``("Add 2", "Add 3, Cast 2")`` (before, after)."""
    names = [name for name in sorted(after.keys() | before.keys()) if after.get(name, 0) != before.get(name, 0)]
    return _join(names, before), _join(names, after)


def histogram(values: Mapping[str, int]) -> str:
    """``MatMul 3, Add 1``: most frequent first."""
    return _join(sorted(values, key=lambda name: (-values[name], name)), values)


def _join(names: Sequence[str], values: Mapping[str, int]) -> str:
    return ", ".join(f"{inert(name, NAME_LIMIT)} {values[name]:,}" for name in names if values.get(name))
