"""What became of an export on its way to a device: its stages, targets, quality and cost, as the page shows them.

Read from the record alone, so that a report made from stored files shows the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import expand_pattern, nearest
from pytest_htp.report.paths import parse_path
from pytest_htp.report.result import ExportResult
from pytest_htp.report.text import number, percent, plural, signed, size
from pytest_htp.report.tree import TreeNode, walk

# Rows of one table on the page; report.json has all of them.
ROW_LIMIT = 60
# SQNR beyond this is equal for any purpose: a 32-bit float holds 24 bits, 6.02 dB each.
_FULL_BAR = 144
# Modules that a table is worked out for one by one; a model beyond it is shown by its stages' totals only.
_MODULE_LIMIT = 20_000

_Row = Mapping[str, Any]


def stages_view(result: ExportResult) -> list[dict[str, Any]]:
    """One entry per stage: what it did in one line, and the shares of its nodes."""
    record = result.record or {}
    seconds = {stage.name: stage.seconds for stage in result.stages}
    known = {stage["name"]: stage for stage in (result.before or {}).get("stages") or ()}
    entries = [_failed(stage.name, stage.error) for stage in result.stages if stage.error]
    previous: _Row = record
    made = []
    for stage in record.get("stages") or ():
        nodes, before = stage["graph"]["nodes"], known.get(stage["name"])
        made.append(
            {
                "name": stage["name"],
                "seconds": seconds.get(stage["name"]),
                "error": "",
                "nodes": nodes,
                "change": signed(nodes - before["graph"]["nodes"])
                if before and nodes != before["graph"]["nodes"]
                else "",
                "did": _did(previous, stage),
                "coverage": percent(stage["coverage"]["coverage"]),
                "none": stage["coverage"]["none"],
            }
        )
        previous = stage
    return made + entries


def _failed(name: str, error: str | None) -> dict[str, Any]:
    return {
        "name": name, "seconds": None, "error": error or "", "nodes": None, "change": "", "did": "", "coverage": "–",
        "none": 0,
    }  # fmt: skip


def _did(before: _Row, after: _Row) -> str:
    """``12 LayerNormalization → 0; 0 SkipLayerNormalization → 12; 0 nodes without a module``."""
    old, new = _operators(before), _operators(after)
    changes = [op for op in old.keys() | new.keys() if old[op] != new[op]]
    changes.sort(key=lambda op: (-abs(new[op] - old[op]), new[op] > old[op], op))  # what is gone before what came
    said = [f"{op.rpartition('::')[2]} {old[op]:,} → {new[op]:,}" for op in changes[:8]]
    if len(changes) > 8:
        said.append(f"{len(changes) - 8} more operators")
    without = plural(after["coverage"]["none"], "node") + " without a module"
    return "; ".join([*(said or ["the same operators"]), without])


def _operators(graph: _Row) -> Counter[str]:
    counts: Counter[str] = Counter(graph["untagged"]["ops"])
    for row in graph["modules"]:
        times = parse_path(row["path"]).count
        for op, count in row["ops"].items():
            counts[op] += count * times
    return counts


def modules_view(result: ExportResult) -> dict[str, Any] | None:
    """Module × stage: nodes, operators and evidence of the modules that any stage changed; None without stages."""
    record = result.record or {}
    stages = record.get("stages") or []
    if not stages or sum(len(row["path"]) > 0 for row in record["modules"]) > _MODULE_LIMIT:
        return None
    columns = [_cells(graph["modules"]) for graph in (record, *stages)]
    paths = list(dict.fromkeys(path for column in columns for path in column))
    cells = {path: tuple(column.get(path, ("–", "")) for column in columns) for path in paths}
    changed = {path: row for path, row in cells.items() if len({text for text, _ in row}) > 1}
    rows = _folded(changed)
    return {"columns": ["export", *(stage["name"] for stage in stages)], **_limited(rows)}


def _cells(rows: Iterable[_Row]) -> dict[str, tuple[str, str]]:
    """Raw module path → (operators, evidence)."""
    cells = {}
    for row in rows:
        text = ", ".join(f"{op.rpartition('::')[2]} {count}" for op, count in sorted(row["ops"].items()))
        words = ", ".join(f"{count} {kind}" for kind, count in row["evidence"].items())
        cells.update(dict.fromkeys(_modules(row["path"]), (text or "–", words)))
    return cells


def _modules(pattern: str) -> list[str]:
    """Raw paths of a folded one; what is no pattern (a page is made of any record) stands for itself."""
    try:
        return expand_pattern(pattern)
    except HTPUsageError:
        return [pattern]


def _folded(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of equal cells, their paths folded."""
    groups: dict[Any, list[str]] = {}
    for path, row in cells.items():
        groups.setdefault(row, []).append(path)
    return [{"path": pattern, "cells": row} for row, paths in groups.items() for pattern in fold_paths(paths)]


def _limited(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows[:ROW_LIMIT], "omitted": max(0, len(rows) - ROW_LIMIT)}


def _measured(record: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Stages, behind the export itself where that is quantized."""
    if record is None:
        return []
    own = [{"name": "the export", "quality": record["quality"]}] if record.get("quality") else []
    return [*own, *(record.get("stages") or ())]


def quality_view(result: ExportResult) -> list[dict[str, Any]]:
    """Per stage: SQNR of outputs and modules, worst first, and its course over the modules."""
    known = {stage["name"]: stage for stage in _measured(result.before)}
    views = []
    for stage in _measured(result.record):
        quality = stage.get("quality")
        if not quality:
            continue
        if not quality["measured"]:
            views.append({"name": stage["name"], "reason": quality.get("reason") or "not measured"})
            continue
        rows = quality.get("modules") or []
        before = {
            row["path"]: row["sqnr"]
            for row in ((known.get(stage["name"]) or {}).get("quality") or {}).get("modules") or ()
        }
        measured = [row for row in rows if row["sqnr"] is not None]
        worst = sorted(measured, key=lambda row: row["sqnr"])
        views.append(
            {
                "name": stage["name"],
                "reason": "",
                "outputs": [(row["name"], _decibel(row)) for row in quality.get("outputs") or ()],
                "rows": [
                    {
                        "path": row["path"],
                        "text": _decibel(row),
                        "width": _share(row["sqnr"]),
                        "before": _decibel({"sqnr": before[row["path"]]})
                        if before.get(row["path"], row["sqnr"]) != row["sqnr"]
                        else "",
                    }
                    for row in worst[:12]
                ],
                "more": max(0, len(worst) - 12),
                "undefined": len(rows) - len(measured),
                "course": _course([row["sqnr"] for row in measured]),
            }
        )
    return views


def _decibel(row: _Row) -> str:
    return f"{row['sqnr']} dB" if row.get("sqnr") is not None else str(row.get("reason") or "undefined")


def _share(sqnr: int) -> float:
    return round(100 * min(max(sqnr, 0), _FULL_BAR) / _FULL_BAR, 1)


def _course(values: Sequence[int]) -> str:
    """Points of a polyline in a box of 100 × 40, in the order of the record's rows; empty for fewer than three."""
    if len(values) < 3:
        return ""
    step = 100 / (len(values) - 1)
    return " ".join(f"{place * step:.1f},{40 - 0.4 * _share(value):.1f}" for place, value in enumerate(values))


def targets_view(result: ExportResult) -> dict[str, Any] | None:
    """Targets with their shares, and module × target: of modules not wholly on their target, and of all."""
    targets = (result.record or {}).get("targets") or []
    failed = [item for item in result.targets if not item.compiled and item.name not in {t["name"] for t in targets}]
    if not targets and not failed:
        return None
    seconds = {item.name: item.seconds for item in result.targets}
    runs = {item.name: item.runs for item in result.targets}
    summaries = [
        {
            "name": target["name"],
            "compiled": target["compiled"],
            "error": target.get("error") or "",
            "partitions": target.get("partitions"),
            "share": percent(target.get("share")),
            "runs": _runs(runs.get(target["name"]) or (), target.get("device")),
            "seconds": seconds.get(target["name"]),
            "options": ", ".join(f"{name}={value}" for name, value in sorted(target["options"].items())),
        }
        for target in targets
    ] + [
        {
            "name": item.name, "compiled": False, "error": item.error or "", "partitions": None, "share": "–",
            "runs": [], "seconds": item.seconds, "options": "",
        }
        for item in failed
    ]  # fmt: skip
    columns = [_placed(target) for target in targets]
    paths = list(dict.fromkeys(path for column in columns for path in column))
    cells = {path: tuple(column.get(path, ("", False))[0] or "–" for column in columns) for path in paths}
    elsewhere = {
        path: row for path, row in cells.items() if any(column.get(path, ("", False))[1] for column in columns)
    }
    names = [target["name"] for target in targets]
    tables = {
        "Modules with nodes elsewhere": _limited(_folded(elsewhere)),
        "All modules": _limited(_folded(cells)),
    }
    return {
        "summaries": summaries,
        "columns": names,
        "tables": {title: rows for title, rows in tables.items() if rows["rows"]},
    }


def _runs(runs: Sequence[tuple[str, int]], device: str | None) -> list[dict[str, Any]]:
    """Nodes in execution order as parts of a bar 100 wide, one a run on one device."""
    total = sum(count for _, count in runs)
    parts, x = [], 0.0
    for name, count in runs:
        width = 100 * count / total
        kind = "direct" if name == device else "none"
        parts.append({"device": name, "count": count, "kind": kind, "x": round(x, 2), "width": round(width, 2)})
        x += width
    return parts


def _placed(target: _Row) -> dict[str, tuple[str, bool]]:
    """Raw module path → (``QNN 5, CPU 1``, whether any node is not on the target)."""
    device = target.get("device")
    placed = {}
    for row in target.get("placement") or ():
        text = ", ".join(f"{name} {count}" for name, count in sorted(row["devices"].items()))
        fallback = any(name != device for name in row["devices"])
        placed.update(dict.fromkeys(_modules(row["path"]), (text, fallback)))
    return placed


def cost_view(result: ExportResult) -> list[tuple[str, str, str]]:
    """``(what, now, before)`` of the whole model: operations, parameters, activations; empty where unknown."""
    now, before = _root(result.record), _root(result.before)
    rows = []
    if (flops := _flops(now)) is not None:
        old = _flops(before)
        rows.append(("floating-point operations", number(flops), number(old) if old not in (None, flops) else ""))
    for key, title in (("params_bytes", "parameters"), ("activation_bytes", "returned by modules")):
        total, old = _total(result.record, key), _total(result.before, key)
        if total:
            rows.append((title, size(total), size(old) if old and old != total else ""))
    return rows


def _root(record: _Row | None) -> _Row:
    return next((row for row in (record or {}).get("modules") or () if row["path"] == ""), {})


def _flops(row: _Row) -> int | None:
    flops = row.get("flops")
    return None if flops is None else flops + (row.get("attention_flops") or 0)


def _total(record: _Row | None, key: str) -> int:
    rows = (record or {}).get("modules") or ()
    return sum((row.get(key) or 0) * parse_path(row["path"]).count for row in rows)


def own_flops(root: TreeNode) -> Callable[[TreeNode], int]:
    """Measures a row by the operations of its modules without those that they call: a record counts a call with all it
    calls. Modules that call are folded otherwise than the called, so each module is looked at by itself.
    """
    flops: dict[str, int] = {}
    for node in walk(root):
        if node.row is not None and node.status != "removed":
            flops.update(dict.fromkeys(_modules(node.row["path"]), _flops(node.row) or 0))
    own = dict(flops)
    for path, count in flops.items():
        if (caller := nearest(path, flops)) is not None:
            own[caller] -= count

    def measure(node: TreeNode) -> int:
        if node.row is None or node.status == "removed":
            return 0
        return sum(max(0, own[path]) for path in _modules(node.row["path"]))

    return measure
