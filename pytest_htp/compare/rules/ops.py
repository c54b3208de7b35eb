"""ops.exploded and ops.changed: what no more specific rule has explained."""

from __future__ import annotations

from pytest_htp.compare.changes import differences, transitions
from pytest_htp.compare.context import Context
from pytest_htp.text import some

# ops.exploded in docs/reference/codes.md: more than doubled. Of no node or one that says little: an activation that
# gains a mul and an add (1 -> 3), a container whose own code gains an operator or two (0 -> 2) are plain changes.
_SMALL = 2
_SHOWN = 4  # differences of a program in a message


def exploded(before: int, after: int) -> bool:
    """Whether a node count more than doubled; from fewer than two nodes it must also grow by more than two."""
    return after > 2 * before and (before >= _SMALL or after - before > _SMALL)


def compare_ops(context: Context) -> None:
    accounted = _growth_of_others(context)
    for path, pair in list(context.open.items()):
        change = pair.change
        if exploded(change.before.nodes, change.after.nodes):
            accounted += change.nodes
            context.report(
                "ops.exploded", f"{change.description}{context.source(pair)}", module=path,
                before=change.before.nodes, after=change.after.nodes,
            )  # fmt: skip
            context.claim(path)
    _report_graph(context, accounted)

    doubt = _doubt(context)
    for path, pair in list(context.open.items()):
        change = pair.change
        if change.class_changed:
            continue  # module.class_changed says it
        words = (
            [] if change.ops else context.words.get(path) or (change.differences.found if change.differences else [])
        )
        if words:
            text = some([each.words for each in words], _SHOWN, between="; ", rest="; {} more")
            before: object = [each.before for each in words if each.before is not None]
            after: object = [each.after for each in words if each.after is not None]
        else:
            text = change.description
            before = change.counts(change.before) or {"fingerprint": change.before.fingerprint}
            after = change.counts(change.after) or {"fingerprint": change.after.fingerprint}
        message = f"{text}{context.source(pair)}{doubt}"
        context.report("ops.changed", message, module=path, before=before, after=after)
    _report_untagged(context)
    context.claim(*context.open)


def _doubt(context: Context) -> str:
    """What is said where only one of the two exports had real weights: their values may have decided."""
    known = [record.weights.kept for record in (context.before, context.after)]
    if known[0] == known[1]:
        return ""
    return (
        f" (the {'baseline' if known[0] else 'current export'} had real weights, the other none: "
        "a bias of zeros or equal buffers may have been left out)"
    )


def _report_graph(context: Context, accounted: int) -> None:
    """The graph as a whole more than doubled, whatever ``accounted`` nodes of single modules did."""
    before, after = (record.graph.nodes for record in (context.before, context.after))
    if before < _SMALL:  # as for a module: what its findings name, however little, is no explosion of the graph
        accounted = max(accounted, _growth_of_all(context))
    axes = context.reported("io.dim_freed", "io.dim_fixed", "io.dim_symbol")
    if after - accounted > 2 * before and not axes:
        context.report("ops.exploded", f"{before} -> {after} nodes in the graph", before=before, after=after)


def _growth_of_all(context: Context) -> int:
    """Nodes by which modules and the untagged rest grew."""
    modules = sum(max(pair.change.nodes, 0) for pair in context.modules.changed)
    added = sum(int(row.nodes) for row in context.modules.added.values())
    return int(modules + added + context.after.untagged.nodes - context.before.untagged.nodes)


def _growth_of_others(context: Context) -> int:
    """Nodes that new modules and more specific findings account for."""
    named = set().union(
        *(context.modules_by_code.get(code, ()) for code in ("fusion.lost", "controlflow.added", "dtype.internal"))
    )
    grown = sum(pair.change.nodes for pair in context.modules.changed if pair.path in named)
    return max(grown, 0) + sum(int(row.nodes) for row in context.modules.added.values())


def _report_untagged(context: Context) -> None:
    """Nodes without a module changed, though their number (which coverage watches) didn't."""
    before, after = context.before.untagged, context.after.untagged
    changed = differences(before.ops, after.ops)
    if changed and before.nodes == after.nodes and not context.reported("io.dim_freed", "io.dim_fixed"):
        context.report(
            "ops.changed", f"{', '.join(transitions(before.ops, after.ops))} among nodes of no module",
            before={op: before.ops.get(op, 0) for op in changed},
            after={op: after.ops.get(op, 0) for op in changed},
        )  # fmt: skip
