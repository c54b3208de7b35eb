"""target.failed, placement.moved, placement.gained, placement.split: what became of the graph on a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pytest_htp.compare.changes import transitions
from pytest_htp.compare.context import Context
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import PlacementRow, Record, TargetRecord

Counts = Mapping[str, int]


def compare_targets(context: Context) -> None:
    """A target that only one record has says nothing, unless it fails: then nothing ever compiled for it."""
    before = {target.name: target for target in context.before.targets}
    for after in context.after.targets:
        old = before.get(after.name)
        if not after.compiled:
            if old is None or old.compiled:
                _report_failure(context, old, after)
        elif old is not None and old.compiled:
            _compare_placement(context, old, after)
    names = {target.name for target in context.after.targets}
    gone = [name for name in before if name not in names]
    if gone:
        context.report("record.changed", f"targets no longer compiled for: {', '.join(gone)}", before=gone)


def changed_targets(before: Record, after: Record) -> list[str]:
    """``target qnn (options)``: targets of both records that are not asked for or answered as before. Nodes that come
    and go on the target itself follow the graph.
    """
    old = {target.name: target for target in before.targets}
    changed = []
    for now in after.targets:
        was = old.get(now.name, now)
        if parts := [key for key in ("options", "device") if getattr(now, key) != getattr(was, key)]:
            changed.append(f"target {now.name} ({', '.join(parts)})")
    return changed


def _report_failure(context: Context, old: TargetRecord | None, after: TargetRecord) -> None:
    now = "no longer compiles" if old is not None else "does not compile"
    message = f"{now} for {after.name}: {after.error}{_options(old, after)}"
    failing: list[str | None] = [path for pattern in after.failing for path in expand_pattern(pattern)]
    where = "; this module alone does not compile" if failing else ""
    for module in failing or [None]:
        context.report(
            "target.failed", message + where, module=module, stage=after.name,
            before=None if old is None else "compiled", after="failed",
        )  # fmt: skip


def _compare_placement(context: Context, old: TargetRecord, after: TargetRecord) -> None:
    name, device, note = after.name, after.device, _options(old, after)
    paths = context.modules.new_paths
    rows = {paths.get(path, path): row for path, row in _unfolded(old).items()}
    for path, row in _unfolded(after).items():
        was = rows.get(path, PlacementRow(path=path, devices={}))
        known, devices = was.devices, row.devices
        fell, ran = _elsewhere(devices, device), _elsewhere(known, device)
        new = {} if ran and not was.fallback else Counter(row.fallback) - Counter(was.fallback)
        if fell > ran or new:
            parts = [_described(known, devices)] if known != devices else []
            parts += [f"falls back now: {_listed(new)}"] if new else []
            context.report(
                "placement.moved", "; ".join(parts) + note, module=path, stage=name, before=known, after=devices
            )
        elif fell < ran and devices.get(device, 0) > known.get(device, 0):
            context.report(
                "placement.gained", _described(known, devices) + note, module=path, stage=name,
                before=known, after=devices,
            )  # fmt: skip
    known, devices = (row.unplaced for row in (old, after))
    if _elsewhere(devices, device) > _elsewhere(known, device):
        context.report(
            "placement.moved", f"{_described(known, devices)}, in no module that could be found{note}", stage=name,
            before=dict(known), after=dict(devices),
        )  # fmt: skip
    pieces = old.partitions or 0, after.partitions or 0
    if pieces[1] > pieces[0]:
        context.report(
            "placement.split", f"{pieces[0]} -> {pieces[1]} partitions{note}", stage=name,
            before=pieces[0], after=pieces[1],
        )  # fmt: skip


def _unfolded(target: TargetRecord) -> dict[str, PlacementRow]:
    return {path: row for row in target.placement for path in expand_pattern(row.path)}


def _listed(operators: Counts) -> str:
    return ", ".join(f"{count} {operator}" for operator, count in sorted(operators.items()))


def _elsewhere(devices: Counts, device: str) -> int:
    return sum(count for name, count in devices.items() if name != device)


def _described(before: Counts, after: Counts) -> str:
    return f"nodes on {', '.join(transitions(before, after))}"


def _options(old: TargetRecord | None, after: TargetRecord) -> str:
    if old is None or old.options == after.options:
        return ""
    return f" (options: {', '.join(transitions(old.options, after.options, 'absent'))})"
