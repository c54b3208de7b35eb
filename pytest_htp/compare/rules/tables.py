"""ops.changed of what code puts into a buffer: frequencies, relative positions, masks."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.format.paths import expand_pattern, join_path, owner_of, relative_to
from pytest_htp.format.record import GraphRecord


def compare_tables(context: Context) -> None:
    """Report buffers that hold something else, in modules that nothing else was said of."""
    reported = set().union(*context.modules_by_code.values())
    before, after = _tables(context.before), _tables(context.after)
    for old_name, was in before.items():
        owner = context.modules.new_paths.get(owner_of(old_name), owner_of(old_name))
        name = relative_to(old_name, owner_of(old_name))
        now = after.get(join_path(owner, name))
        if now is None or now == was or owner in reported or _type(was) != _type(now):
            continue
        context.report("ops.changed", f"buffer {name}: {was} -> {now}", module=owner, before=was, after=now)


def _tables(record: GraphRecord) -> dict[str, str]:
    return {name: row.holds for row in record.weights.tables for name in expand_pattern(row.name)}


def _type(holds: str) -> str:
    """The element type: its change is reported where values are computed."""
    return holds.partition("[")[0].partition(" ")[0]
