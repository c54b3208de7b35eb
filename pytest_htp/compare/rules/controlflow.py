"""controlflow.added: If, Loop, Scan or SequenceMap appeared."""

from __future__ import annotations

from pytest_htp.compare.changes import bare, differences
from pytest_htp.compare.context import Context
from pytest_htp.format.paths import Neighbourhood

CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})


def compare_control_flow(context: Context) -> None:
    found = set()
    for path, pair in context.open.items():
        new = [op for op, count in pair.change.ops.items() if count > 0 and bare(op) in CONTROL_FLOW]
        if new:
            found.add(path)
            change = pair.change
            context.report(
                "controlflow.added", f"{change.description}{context.source(pair)}", module=path,
                before={op: change.before.ops.get(op, 0) for op in new},
                after={op: change.after.ops[op] for op in new},
            )  # fmt: skip
    # A module's change may be that its operators are now in a branch or body: the same finding.
    inside = Neighbourhood(found)
    context.claim(*[path for path in context.open if found and inside.encloses(path)])

    for path, row in context.modules.added.items():
        new = [op for op in row.ops if bare(op) in CONTROL_FLOW]
        if new:
            message = ", ".join(f"{op} 0 -> {row.ops[op]}" for op in new) + " in a new module"
            context.report("controlflow.added", message, module=path, after={op: row.ops[op] for op in new})
    untagged = differences(context.before.untagged.ops, context.after.untagged.ops)
    new = [op for op, count in untagged.items() if count > 0 and bare(op) in CONTROL_FLOW]
    if new:
        ops = context.after.untagged.ops
        message = ", ".join(f"{op} {ops[op] - untagged[op]} -> {ops[op]}" for op in new) + " in no module"
        context.report("controlflow.added", message, after={op: ops[op] for op in new})
