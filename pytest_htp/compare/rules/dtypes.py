"""dtype.internal: a module computes in another precision."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, bare, transitions
from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.shapes import casts_follow_io
from pytest_htp.format.program import parse_line
from pytest_htp.format.record import ModuleRow


def compare_precision(context: Context) -> None:
    only_casts = [path for path, pair in context.open.items() if _only_precision(pair.change)]
    if only_casts and casts_follow_io(context, only_casts):
        context.claim(*only_casts)
        only_casts = []
    if context.stage is not None:
        # A stage converts a value where it is made, for what reads it in another precision.
        handed = [path for path, pair in context.open.items() if _converts_for_others(pair.change)]
        others = [path for path, pair in context.open.items() if path in only_casts or pair.change.new_floats]
        if set(others) - set(handed):
            context.claim(*handed)
            only_casts = [path for path in only_casts if path in context.open]
    precision = set(only_casts)
    for path, pair in list(context.open.items()):
        change = pair.change
        if path not in precision and not change.new_floats:
            continue
        parts = [change.description] if change.ops else []
        if change.new_floats:
            parts.append(f"now computes in {', '.join(change.new_floats)}")
        elif change.dtypes:
            parts.append(f"node outputs: {', '.join(transitions(change.before.dtypes, change.after.dtypes))}")
        context.report(
            "dtype.internal", "; ".join(parts) + context.source(pair), module=path,
            before=_state(change, change.before), after=_state(change, change.after),
        )  # fmt: skip
        if path in precision or (context.reported("fusion.lost") and path in context.modules_by_code["fusion.lost"]):
            context.claim(path)


def _only_precision(change: Change) -> bool:
    """Casts alone came or went, or the same operators produce other element types."""
    if not change.ops:
        return change.moved_types
    if any(bare(op) not in ("Cast", "CastLike") for op in change.ops):
        return False
    return (
        max(change.ops.values()) > 0
        or bool(change.new_floats)
        or any(kind for kind in change.dtypes if not change.after.dtypes.get(kind))
    )


def _converts_for_others(change: Change) -> bool:
    """Whether nothing but Casts came, that none of the module's own nodes reads."""
    if not change.ops or any(bare(op) != "Cast" for op in change.ops):
        return False
    read_before, read_now = map(_own_casts, (change.before, change.after))
    return read_before is not None and read_before == read_now


def _own_casts(row: ModuleRow) -> int | None:
    """How many Casts of a module its own nodes read, None where that is not known."""
    if row.program is None:
        return None
    lines = [line for line in map(parse_line, row.program) if not line.is_call]
    read = {value for line in lines for value in line.inputs}
    return sum(bare(line.name) == "Cast" and f"%{line.number}" in read for line in lines)


def _state(change: Change, row: ModuleRow) -> dict[str, int]:
    ops = {op: row.ops.get(op, 0) for op in change.ops}
    return {**ops, **{kind: row.dtypes.get(kind, 0) for kind in change.dtypes}}
