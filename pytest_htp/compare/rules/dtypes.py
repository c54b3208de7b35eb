"""dtype.internal: a module computes in another precision."""

from __future__ import annotations

from pytest_htp.compare.changes import Change, bare
from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.shapes import casts_follow_io


def compare_precision(context: Context) -> None:
    only_casts = [path for path, pair in context.open.items() if _only_precision(pair.change)]
    if only_casts and casts_follow_io(context, only_casts):
        context.claim(*only_casts)
        only_casts = []
    precision = set(only_casts)
    for path, pair in list(context.open.items()):
        change = pair.change
        if path not in precision and not change.new_floats:
            continue
        parts = [change.description] if change.ops else []
        if change.new_floats:
            parts.append(f"now computes in {', '.join(change.new_floats)}")
        elif change.dtypes:
            old, new = change.before["dtypes"], change.after["dtypes"]
            counts = (f"{kind} {old.get(kind, 0)} -> {new.get(kind, 0)}"
                      for kind in change.dtypes)  # fmt: skip
            parts.append(f"node outputs: {', '.join(counts)}")
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
        or any(kind for kind in change.dtypes if not change.after["dtypes"].get(kind))
    )


def _state(change: Change, row: object) -> dict[str, int]:
    assert isinstance(row, dict)
    ops = {op: row["ops"].get(op, 0) for op in change.ops}
    return {**ops, **{kind: row["dtypes"].get(kind, 0) for kind in change.dtypes}}
