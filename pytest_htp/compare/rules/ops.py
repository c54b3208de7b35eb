"""ops.exploded and ops.changed: what no more specific rule has explained."""

from __future__ import annotations

from pytest_htp.compare.changes import differences
from pytest_htp.compare.context import Context

# Contract: more than doubled. A single node has no size to multiply: an activation that gains a mul and
# an add (1 -> 3) is a plain change.
_SMALLEST = 2


def exploded(before: int, after: int) -> bool:
    """Whether the node count of a module (or graph) of at least two nodes more than doubled."""
    return before >= _SMALLEST and after > 2 * before


def compare_ops(context: Context) -> None:
    accounted = _growth_of_others(context)
    for path, pair in list(context.open.items()):
        change = pair.change
        if exploded(change.before["nodes"], change.after["nodes"]):
            accounted += change.nodes
            context.report(
                "ops.exploded", f"{change.description}{context.source(pair)}", module=path,
                before=change.before["nodes"], after=change.after["nodes"],
            )  # fmt: skip
            context.claim(path)
    before, after = (record["graph"]["nodes"] for record in (context.before, context.after))
    axes = context.reported("io.dim_freed", "io.dim_fixed", "io.dim_symbol")
    if exploded(before, after - accounted) and not axes:
        context.report("ops.exploded", f"{before} -> {after} nodes in the graph", before=before, after=after)

    for path, pair in list(context.open.items()):
        change = pair.change
        if change.class_changed:
            continue  # module.class_changed says it
        context.report(
            "ops.changed", f"{change.description}{context.source(pair)}", module=path,
            before=change.counts(change.before) or {"fingerprint": change.before.get("fingerprint")},
            after=change.counts(change.after) or {"fingerprint": change.after.get("fingerprint")},
        )  # fmt: skip
    _report_untagged(context)
    context.claim(*context.open)


def _growth_of_others(context: Context) -> int:
    """Nodes that new modules and more specific findings account for."""
    named = set().union(
        *(context.modules_by_code.get(code, ()) for code in ("fusion.lost", "controlflow.added", "dtype.internal"))
    )
    grown = sum(pair.change.nodes for pair in context.modules.changed if pair.path in named)
    return max(grown, 0) + sum(int(row["nodes"]) for row in context.modules.added.values())


def _report_untagged(context: Context) -> None:
    """Nodes without a module changed, though their number (which coverage watches) didn't."""
    before, after = context.before["untagged"], context.after["untagged"]
    changed = differences(before["ops"], after["ops"])
    if changed and before["nodes"] == after["nodes"] and not context.reported("io.dim_freed", "io.dim_fixed"):
        parts = ", ".join(f"{op} {before['ops'].get(op, 0)} -> {after['ops'].get(op, 0)}" for op in changed)
        context.report(
            "ops.changed", f"{parts} among nodes of no module",
            before={op: before["ops"].get(op, 0) for op in changed},
            after={op: after["ops"].get(op, 0) for op in changed},
        )  # fmt: skip
