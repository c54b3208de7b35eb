"""module.added, module.removed, module.class_changed; renamed modules are one finding that names both paths."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_htp.compare.changes import Pair, differences
from pytest_htp.compare.context import Context
from pytest_htp.compare.finding import OTHER_MODEL
from pytest_htp.compare.match import Move, Rows
from pytest_htp.compare.rules.ops import exploded
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import ancestors, nearest, parent_of, path_template, topmost, without_common_end
from pytest_htp.format.record import ModuleRow

# Operators that make one value of several.
_JOINS = frozenset({"Add", "Sub", "Mul", "Div", "Concat", "Sum", "Mean", "Max", "Min"})


def compare_modules(context: Context) -> None:
    modules = context.modules
    reclassified = {pair.path for pair in modules.changed if pair.change.class_changed}
    handed = _handed_over(context)
    unrelated = len(modules.before) > 1 and len(modules.removed) == len(modules.before) - 1
    for pair in modules.changed:
        if pair.change.class_changed:
            old, new = pair.change.before.class_name, pair.change.after.class_name
            message = f"class {old} -> {new}{_with_children(pair, handed.get(pair.path))}"
            if pair.path == "" and unrelated:
                message = f"{OTHER_MODEL} {new}, its baseline is of {old}"
            context.report("module.class_changed", message, module=pair.path, before=old, after=new)
    _report_moves(context, modules.moves)
    inside = reclassified - {""}  # a changed root would hide everything
    for code, rows, verb in (("module.added", modules.added, "new"), ("module.removed", modules.removed, "removed")):
        roots = [path for path in topmost(rows) if nearest(path, inside) is None]
        totals, joins = _totals(rows), _claim_joins(context, roots, added=code == "module.added")
        for path in roots:
            _report_subtree(context, code, verb, path, rows[path], totals[path], joins.get(path, ""))
    _claim_inlined(context)


def _report_subtree(
    context: Context, code: str, verb: str, path: str, row: ModuleRow, totals: tuple[int, int], joins: str
) -> None:
    count, nodes = totals
    size = f"{count} modules, {nodes} nodes" if count > 1 else f"{nodes} node{'s' * (nodes != 1)}"
    message = f"{verb} module {row.class_name} ({size}{joins})"
    if parent_of(path) in context.modules.renumbered_in:
        message += "; the modules after it are renumbered"
    value = {"class": row.class_name, "modules": count, "nodes": nodes}
    added = code == "module.added"
    context.report(code, message, module=path, before=None if added else value, after=value if added else None)


def _totals(rows: Rows) -> dict[str, tuple[int, int]]:
    """Number of modules and nodes of every subtree."""
    totals = dict.fromkeys(rows, (0, 0))
    for path, row in rows.items():
        for outer in (path, *ancestors(path)):
            if outer in totals:
                count, nodes = totals[outer]
                totals[outer] = count + 1, nodes + row.nodes
    return totals


def _report_moves(context: Context, moves: list[Move]) -> None:
    """One finding for moves that are alike: the same change of prefix, or repeated layers."""
    groups: dict[object, list[Move]] = {}
    for move in moves:
        old, new = without_common_end(move.old, move.new)
        wrapper = (old, new) if not (old and new) else None  # one put in or taken out: group by it
        key = wrapper or (path_template(move.old), path_template(move.new), move.class_name)
        groups.setdefault(key, []).append(move)
    for group in groups.values():
        old_paths, new_paths = fold_paths(move.old for move in group), fold_paths(move.new for move in group)
        names = sorted({move.class_name for move in group})
        message = f"{', '.join(names[:4])} was {', '.join(old_paths[:4])}, is now {', '.join(new_paths[:4])}"
        before, after = {"path": old_paths}, {"path": new_paths}
        if len(new_paths) == 1:
            for move in group:
                context.report("module.added", message, module=move.new, before=before, after=after)
        else:
            outer = parent_of(group[0].new) or ""
            context.report("module.added", message, module=outer, before=before, after=after)


def _claim_joins(context: Context, paths: list[str], *, added: bool) -> dict[str, str]:
    """Path → words on the operators around it that joined a child's result to others' (a sum of experts, a
    residual adapter) and came or went with it: no more than children, and nothing else changed there.
    """
    around: dict[str, list[str]] = {}
    for path in paths:
        outer = nearest(path, context.modules.after)
        if outer in context.open:
            around.setdefault(outer, []).append(path)
    joins = {}
    for outer, children in around.items():
        change = context.open[outer].change
        one_way = change.only_gains if added else change.only_losses
        if (
            one_way
            and change.amount <= len(children)
            and _JOINS.issuperset(change.ops)
            and not (change.new_floats or exploded(change.before.nodes, change.after.nodes))
        ):
            context.claim(outer)
            joins.update(dict.fromkeys(children, f"; around it {change.description}"))
    return joins


def _claim_inlined(context: Context) -> None:
    """A module whose change is exactly what its added or removed child held: code moved into or out of a child."""
    for path, sums in _handed_over(context).items():
        if differences({}, sums) == context.open[path].change.ops:
            context.claim(path)


def _handed_over(context: Context) -> dict[str, dict[str, int]]:
    """Changed module → by operator, what it would have gained if all code of the children that are gone, less that of
    the new ones, had become its own.
    """
    moved_ops: dict[str, dict[str, int]] = {}
    new_paths = context.modules.new_paths
    for rows, sign, today in ((context.modules.added, -1, {}), (context.modules.removed, 1, new_paths)):
        for path, row in rows.items():
            around = (today.get(outer, outer) for outer in ancestors(path))
            outer = next((path for path in around if path in context.open), None)
            if outer is not None:
                sums = moved_ops.setdefault(outer, {})
                for op, count in row.ops.items():
                    sums[op] = sums.get(op, 0) + sign * count
    return moved_ops


def _with_children(pair: Pair, handed: Mapping[str, int] | None) -> str:
    """What a module of another class computes more or less than the one before, with the children that it brought."""
    if handed is None:
        return ""
    own = pair.change.ops
    left = {op: count for op in sorted({*own, *handed}) if (count := own.get(op, 0) - handed.get(op, 0))}
    return f", with its children {', '.join(f'{op} {count:+d}' for op, count in left.items())}" if left else ""
