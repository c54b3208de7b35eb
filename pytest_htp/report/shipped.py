"""What became of an export on its way to a device: its stages, targets, quality and cost, as the page shows them.

Read from the record alone, so that a report made from stored files shows the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.execution import execution_order
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import NaturalKey, expand_pattern, nearest
from pytest_htp.format.record import (
    GraphRecord,
    ModuleQualityRow,
    ModuleRow,
    OutputQualityRow,
    QualityRow,
    Record,
    TargetRecord,
)
from pytest_htp.report.paths import parse_path
from pytest_htp.report.result import ExportResult, TargetResult
from pytest_htp.report.text import number, percent, size
from pytest_htp.report.tree import TreeNode, walk
from pytest_htp.report.views import bar, change
from pytest_htp.text import plural, some

# Rows of one table on the page; report.json has all of them.
ROW_LIMIT = 60
# Where stored numbers end: beyond it, differences are float32's rounding.
_FULL_BAR = 99
# Modules that a table is worked out for one by one; a model beyond it is shown by its stages' totals only.
_MODULE_LIMIT = 20_000

_OPERATORS = 3  # named in a cell


@dataclass(frozen=True, slots=True)
class StageView:
    """What a stage did in one line, or why it failed; ``nodes`` of its graph, ``change`` against the baseline's."""

    name: str
    did: str
    error: str = ""
    seconds: float | None = None
    nodes: int | None = None
    change: str = ""
    coverage: str = "–"


def stages_view(result: ExportResult) -> list[StageView]:
    """The stages as they ran, then those that failed."""
    seconds = {stage.name: stage.seconds for stage in result.stages}
    known = {stage.name: stage.graph.nodes for stage in result.stored.stages} if result.stored else {}
    graphs: list[GraphRecord] = [result.current, *result.current.stages] if result.current else []
    made = [
        StageView(
            name=stage.name,
            did=_did(previous, stage),
            seconds=seconds.get(stage.name),
            nodes=stage.graph.nodes,
            change=change(stage.graph.nodes, known.get(stage.name)),
            coverage=percent(stage.coverage.coverage),
        )
        for previous, stage in zip(graphs, result.current.stages if result.current else (), strict=False)
    ]
    return made + [StageView(stage.name, "", stage.error) for stage in result.stages if stage.error]


def _did(before: GraphRecord, after: GraphRecord) -> str:
    """``12 LayerNormalization → 0; 0 SkipLayerNormalization → 12; 0 nodes without a module``."""
    old, new = _operators(before), _operators(after)
    changes = [op for op in old.keys() | new.keys() if old[op] != new[op]]
    changes.sort(key=lambda op: (-abs(new[op] - old[op]), new[op] > old[op], op))  # what is gone before what came
    said = [f"{op.rpartition('::')[2]} {old[op]:,} → {new[op]:,}" for op in changes]
    shown = some(said, 8, between="; ", rest="; {} more operators") or "the same operators"
    return f"{shown}; {plural(after.coverage.none, 'node')} without a module"


def _operators(graph: GraphRecord) -> Counter[str]:
    counts: Counter[str] = Counter(graph.untagged.ops)
    for row in graph.modules:
        times = parse_path(row.path).count
        for op, count in row.ops.items():
            counts[op] += count * times
    return counts


def modules_view(result: ExportResult) -> dict[str, object] | None:
    """Module × stage: nodes, operators and evidence of the modules that any stage changed; None without stages."""
    record = result.current
    if record is None or not record.stages or sum(len(row.path) > 0 for row in record.modules) > _MODULE_LIMIT:
        return None
    columns = [_cells(graph.modules) for graph in (record, *record.stages)]
    paths = list(dict.fromkeys(path for column in columns for path in column))
    cells = {path: tuple(column.get(path, ("–", "")) for column in columns) for path in paths}
    changed = {path: row for path, row in cells.items() if len({text for text, _ in row}) > 1}
    return {"columns": ["export", *(stage.name for stage in record.stages)], **_table(changed)}


def _cells(rows: Iterable[ModuleRow]) -> dict[str, tuple[str, str]]:
    """Raw module path → (operators, evidence)."""
    cells = {}
    for row in rows:
        text = ", ".join(f"{op.rpartition('::')[2]} {count}" for op, count in sorted(row.ops.items()))
        words = ", ".join(f"{count} {kind}" for kind, count in row.evidence.items())
        cells.update(dict.fromkeys(_modules(row.path), (text or "–", words)))
    return cells


def _modules(pattern: str) -> list[str]:
    """Raw paths of a folded one; what is no pattern (a page is made of any record) stands for itself."""
    try:
        return expand_pattern(pattern)
    except HTPUsageError:
        return [pattern]


def _table(cells: Mapping[str, tuple[object, ...]]) -> dict[str, Sequence[object] | int]:
    """Rows of equal cells, their paths folded, as many as there is room for."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for path, row in cells.items():
        groups.setdefault(row, []).append(path)
    rows = [(pattern, row) for row, paths in groups.items() for pattern in fold_paths(paths)]
    return {"rows": rows[:ROW_LIMIT], "omitted": max(0, len(rows) - ROW_LIMIT)}


def _measured(record: Record | None) -> dict[str, QualityRow]:
    """By stage, behind the export itself where that is quantized."""
    if record is None:
        return {}
    found = {"the export": record.quality} | {stage.name: stage.quality for stage in record.stages}
    return {name: quality for name, quality in found.items() if quality is not None}


def quality_view(result: ExportResult) -> list[dict[str, object]]:
    """Per stage: SQNR of outputs and modules, worst first, and its course over the modules."""
    known = _measured(result.stored)
    views: list[dict[str, object]] = []
    for name, quality in _measured(result.current).items():
        if not quality.measured:
            views.append({"name": name, "reason": quality.reason or "not measured"})
            continue
        before = {row.path: row for row in known[name].modules} if name in known else {}
        measured = [(row.sqnr, row) for row in quality.modules if row.sqnr is not None]
        worst = sorted(measured, key=itemgetter(0))
        views.append(
            {
                "name": name,
                "reason": "",
                "outputs": [(row.name, _decibel(row)) for row in quality.outputs],
                "rows": [
                    {
                        "path": row.path,
                        "text": _decibel(row),
                        "width": _share(sqnr),
                        "before": _decibel(old) if (old := before.get(row.path, row)).sqnr != sqnr else "",
                    }
                    for sqnr, row in worst[:12]
                ],
                "more": max(0, len(worst) - 12),
                "undefined": len(quality.modules) - len(measured),
                "course": _course(measured, execution_order(result.current.modules if result.current else [])),
            }
        )
    return views


def _decibel(row: ModuleQualityRow | OutputQualityRow) -> str:
    return f"{row.sqnr} dB" if row.sqnr is not None else row.reason or "undefined"


def _share(sqnr: int) -> float:
    return round(100 * min(max(sqnr, 0), _FULL_BAR) / _FULL_BAR, 1)


def _course(measured: Iterable[tuple[int, ModuleQualityRow]], order: Callable[[str], tuple[float, NaturalKey]]) -> str:
    """Points of a polyline in a box of 100 × 40, a module each, as they run; empty for fewer than three."""
    values = {path: sqnr for sqnr, row in measured for path in expand_pattern(row.path)}
    if len(values) < 3:
        return ""
    step = 100 / (len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{40 - 0.4 * _share(values[path]):.1f}"
        for place, path in enumerate(sorted(values, key=order))
    )


def targets_view(result: ExportResult) -> dict[str, object] | None:
    """Targets with their shares, and module × target: of modules not wholly on their target, and of all."""
    targets = result.current.targets if result.current else []
    names = [target.name for target in targets]
    failed = [item for item in result.targets if not item.compiled and item.name not in names]
    if not targets and not failed:
        return None
    ran = {item.name: item for item in result.targets}
    every: list[TargetRecord | TargetResult] = [*targets, *failed]
    summaries = []
    for target in every:
        here = ran.get(target.name)
        options = target.options if isinstance(target, TargetRecord) else {}
        runs = here.runs if here is not None else []
        summaries.append(
            {
                "target": target,
                "options": ", ".join(f"{name}={value}" for name, value in sorted(options.items())),
                "seconds": here.seconds if here is not None else None,
                "runs": bar(runs, sum(count for _, count in runs)),  # nodes in execution order, by device
            }
        )
    columns = [_placed(target) for target in targets]
    paths = list(dict.fromkeys(path for column in columns for path in column))
    cells = {path: tuple(column.get(path, ("–", False)) for column in columns) for path in paths}
    words = {path: tuple(text for text, _ in row) for path, row in cells.items()}
    elsewhere = {path: row for path, row in words.items() if any(fallback for _, fallback in cells[path])}
    tables = {"Modules with nodes elsewhere": _table(elsewhere), "All modules": _table(words)}
    return {
        "summaries": summaries,
        "columns": names,
        "tables": {title: table for title, table in tables.items() if table["rows"]},
    }


def _placed(target: TargetRecord) -> dict[str, tuple[str, bool]]:
    """Raw module path → (``CPU 1, QNN 5 (Erf 1 fell back)``, whether any node is not on the target)."""
    placed = {}
    for row in target.placement:
        text = ", ".join(f"{name} {count}" for name, count in sorted(row.devices.items()))
        if row.fallback:
            operators = sorted(row.fallback.items(), key=lambda item: (-item[1], item[0]))
            rest = len(operators) - _OPERATORS
            more = f" and {plural(rest, 'other kind')}" if rest > 0 else ""
            text += f" ({', '.join(f'{name} {count}' for name, count in operators[:_OPERATORS])}{more} fell back)"
        fallback = any(name != target.device for name in row.devices)
        placed.update(dict.fromkeys(_modules(row.path), (text, fallback)))
    return placed


def cost_view(result: ExportResult) -> list[tuple[str, str, str]]:
    """``(what, now, before)`` of the whole model: operations, parameters, activations; empty where unknown."""
    current, stored = (record.modules if record else [] for record in (result.current, result.stored))
    rows = []
    if (flops := _flops_of_root(current)) is not None:
        old = _flops_of_root(stored)
        rows.append(("floating-point operations", number(flops), number(old) if old not in (None, flops) else ""))
    for key, title in (("params_bytes", "parameters"), ("activation_bytes", "returned by modules")):
        total, old = _total(current, key), _total(stored, key)
        if total:
            rows.append((title, size(total), size(old) if old and old != total else ""))
    return rows


def _flops_of_root(rows: Iterable[ModuleRow]) -> int | None:
    return next((_flops(row) for row in rows if not row.path), None)


def _flops(row: ModuleRow) -> int | None:
    return None if row.flops is None else row.flops + (row.attention_flops or 0)


def _total(rows: Iterable[ModuleRow], key: str) -> int:
    return sum((getattr(row, key) or 0) * parse_path(row.path).count for row in rows)


def own_flops(root: TreeNode) -> Callable[[TreeNode], int]:
    """Measures a row by the operations of its modules without those that they call: a record counts a call with all it
    calls. Modules that call are folded otherwise than the called, so each module is looked at by itself.
    """
    flops: dict[str, int] = {}
    modules: dict[int, list[str]] = {}
    for node in walk(root):
        if node.row is not None and node.status != "removed":
            modules[id(node)] = paths = _modules(node.row.path)
            flops.update(dict.fromkeys(paths, _flops(node.row) or 0))
    own = dict(flops)
    for path, count in flops.items():
        if (caller := nearest(path, flops)) is not None:
            own[caller] -= count
    return lambda node: sum([max(0, own[path]) for path in modules.get(id(node), ())])
