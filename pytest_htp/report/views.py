"""What the page shows of an export, worked out before any template runs.

Templates only place and escape; every comparison, share and unit is decided here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.format.record import Record, TensorRow
from pytest_htp.report.model import is_failed
from pytest_htp.report.result import BaselineState, Entering, ExportResult, FindingRow, StepError
from pytest_htp.report.text import NAME_LIMIT, duration, inert, percent, signed, size
from pytest_htp.vocabulary import EVIDENCE, HTPExportStep

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


def value_text(value: object) -> str:
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
# Labels that say that something failed; the others say that there is nothing to judge.
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


def shown_verdict(result: ExportResult) -> str:
    """The verdict, or what to say in its place."""
    return verdict_label(result) or result.verdict


def verdict_kind(result: ExportResult) -> str:
    """The verdict whose colour and symbol an export has, or ``open``: nothing to judge yet."""
    label = verdict_label(result)
    return label_kind(label) if label else result.verdict


def verdict_counts(exports: Iterable[ExportResult]) -> dict[str, int]:
    """Exports by verdict, worst first, then by the reason for which they were not compared; no zeros."""
    counts = Counter(map(shown_verdict, exports))
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
    status = result.baseline_status
    if status in _STATUS:
        words.append(_STATUS[status])
    elif status in _NOT_COMPARED and status is not BaselineState.OFF and result.verdict != "unchanged":
        words.append(_NOT_COMPARED[status])
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


def nodes_change(result: ExportResult) -> str:
    """Nodes of the graph, against the baseline's."""
    return change(result.nodes, result.stored.graph.nodes if result.stored else None)


def bytes_change(result: ExportResult) -> str:
    """Initializer bytes of the graph, against the baseline's."""
    return size_change(result.bytes, result.stored.weights.initializers.bytes if result.stored else None)


def coverage_words(result: ExportResult) -> tuple[str, str]:
    """Coverage in percent, and its change; an en dash and nothing for an export without."""
    now, before = result.coverage, result.coverage_before
    if now is None:
        return "–", ""
    return percent(now.coverage), change(now.coverage, before.coverage if before else None, " pt")


def coverage_view(result: ExportResult) -> dict[str, object] | None:
    """Coverage, its change, and the evidence split as parts of a bar 100 wide."""
    coverage = result.coverage
    if not coverage:
        return None
    before = result.coverage_before
    counts = {kind: count for kind in EVIDENCE if (count := getattr(coverage, kind))}
    text, delta = coverage_words(result)
    return {
        "text": text,
        "change": delta,
        "worse": before is not None and coverage.coverage < before.coverage,
        "direct": percent(coverage.direct_coverage),
        "direct_change": change(coverage.direct_coverage, before.direct_coverage if before else None, " pt"),
        "root_share": percent(coverage.root_share),
        "parts": bar(counts.items(), coverage.total_nodes),
        "words": ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no nodes",
    }


def bar(parts: Iterable[tuple[str, int]], total: int) -> list[dict[str, object]]:
    """Parts of a bar 100 wide: what each is called, its count, and where it begins and how wide it is."""
    drawn, x = [], 0.0
    for name, count in parts:
        width = 100 * count / total if total else 0.0
        drawn.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2)})
        x += width
    return drawn


def attested_change(result: ExportResult) -> str:
    """Attested modules, against the baseline's."""
    before = result.stored.attestation if result.stored else None
    now = result.attested.attested if result.attested else None
    return change(now, before.attested if before and before.measured else None)


def worst_difference(result: ExportResult) -> str:
    """The largest absolute difference over the graph's outputs; an en dash where there is none."""
    parity = result.compared
    return _worst(output.max_abs for output in parity.outputs if parity.measured) or "–" if parity else "–"


def parity_view(result: ExportResult) -> dict[str, object] | None:
    """The worst difference over the graph's outputs, and the baseline's."""
    parity = result.compared
    if parity is None:
        return None
    if not parity.measured:
        return {"measured": False, "reason": parity.reason or "not measured"}
    worst = worst_difference(result)
    before = _worst(output.max_abs for output in result.stored.parity.outputs) if result.stored else ""
    return {
        "measured": True,
        "worst": worst,
        # A baseline holds decades, rounded up: only a larger number is a change.
        "before": before if before and _as_float(worst) > _as_float(before) else "",
        "failed": parity.failed,
        "first_divergence": _divergence(parity.first_divergence),
        "outputs": [(output.name, _short(output.max_abs), _short(output.max_rel)) for output in parity.outputs],
        "sets": [(name, any(output.failed for output in outputs)) for name, outputs in parity.input_sets.items()],
    }


def _divergence(entering: Entering | str | None) -> tuple[str, str] | None:
    """Module and size of a first divergence; a record has the module's path only."""
    if isinstance(entering, Entering):
        return entering.module, f"relative {_short(entering.max_rel)}"
    return None if entering is None else (entering, "")


def _short(value: object) -> str:
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


def steps_view(result: ExportResult) -> list[dict[str, object]]:
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


def contract_view(result: ExportResult) -> list[dict[str, str]]:
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


def toolchain_view(result: ExportResult) -> list[tuple[str, str, str, bool]]:
    """Versions and opsets: name, the baseline's, today's, and whether they differ."""
    if result.current is None:  # what it stopped with is not known
        return []
    now, then = _versions(result.current), _versions(result.stored) if result.stored else {}
    rows = []
    for name in sorted(now.keys() | then.keys()):
        new, old = now.get(name, "–"), then.get(name, "–") if result.stored else ""
        rows.append((name, old, new, result.stored is not None and old != new))
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
