"""Which modules' programs changed by themselves, and which only because they read or call one that did.

A line names the values it reads by module and operator, so a change inside a module is echoed by what reads it; and
a module that reads its inputs in another order is called with them in that order. Echoes are claimed here: the
finding belongs to the innermost module whose own lines changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_htp.compare.changes import Change, Pair
from pytest_htp.compare.context import Context
from pytest_htp.compare.lines import Difference, diff_programs
from pytest_htp.compare.rules.attestation import newly_contradicted
from pytest_htp.format.paths import ancestors, common_prefix, depth_of, expand_pattern, join_path, nearest
from pytest_htp.format.program import COMMUTATIVE, called_paths, parse_line
from pytest_htp.format.tensors import list_tensors

_UNTAGGED = "untagged"


@dataclass
class _Tree:
    """What is known to have changed, on both sides; ``words`` of changes handed down to a child."""

    real: set[str]
    gone: set[str]
    pairs: Mapping[str, Pair]
    renamed: frozenset[tuple[str, str]] = frozenset()
    handed: dict[str, list[Difference]] = field(default_factory=dict)

    def changed(self, path: str) -> bool:
        return path in self.real or path in self.gone or any(outer in self.gone for outer in ancestors(path))


def claim_echoes(context: Context) -> None:
    """Claim modules whose lines differ only by what another finding says, and keep what is really different."""
    modules = context.modules
    pairs = {pair.path: pair for pair in modules.changed}
    tree = _Tree(
        real={
            path for path, pair in pairs.items() if pair.change.ops or pair.change.class_changed or pair.change.dtypes
        },
        gone={
            *modules.added,
            *modules.removed,
            *(p for move in modules.moves for p in (move.old, move.new)),
            *newly_contradicted(context),  # what has wrong tags changes the lines around it
        },
        pairs=pairs,
        renamed=_renamed_inputs(context),
    )
    deepest_first = sorted(context.open, key=lambda path: (-depth_of(path), path))
    for path in deepest_first:
        pair = context.open[path]
        if pair.change.differences is None or path in tree.real:
            continue
        if any(_own(difference) for difference in pair.change.differences.found):
            tree.real.add(path)
    for path in deepest_first:
        pair = context.open[path]
        if pair.change.differences is None or pair.change.ops or pair.change.dtypes or pair.change.nodes:
            continue
        left = [each for each in pair.change.differences.found if not _echo(each, path, tree, context)]
        if left:
            tree.real.add(path)
            context.words[path] = left
        else:
            context.claim(path)
    for path, found in tree.handed.items():
        context.open.setdefault(path, pairs.get(path) or context.same(path))
        context.words.setdefault(path, []).extend(found)
    _compare_untagged(context)


def _own(difference: Difference) -> bool:
    """Whether a difference is not of a kind that may be an echo."""
    return difference.callee is None and not (difference.values and all(map(_is_read, difference.values)))


def _is_read(values: tuple[str, str]) -> bool:
    if all(value.startswith("input ") for value in values):
        return True
    return ":" in values[0] and ":" in values[1]


def _renamed_inputs(context: Context) -> frozenset[tuple[str, str]]:
    """Inputs as programs name them, before and after a change of name that io.renamed reports."""
    return frozenset(
        (f"input {was}", f"input {now}")
        for draft in context.drafts
        if draft.code == "io.renamed"
        for name, was in draft.before.items()
        if isinstance(was, str) and isinstance(now := draft.after.get(name), str)
    )


def _echo(difference: Difference, path: str, tree: _Tree, context: Context) -> bool:
    """Whether another module's change accounts for a difference; one handed down is put on that module's account."""
    called = called_paths(difference.callee) if difference.callee is not None else []
    if called and not difference.order and (tree.gone or tree.real - {path}):
        # Which values a child is given follows from what came, went or changed around it; only an exchange of the
        # same values is a change of its own.
        return True
    if len(called) == 1 and difference.order:
        child = join_path(path, called[0])
        if child in tree.real and child in tree.pairs:
            if _undone(difference, tree.pairs[child].change):
                return True
        elif (place := _followed(context, child, difference.order)) is not None:
            reader, text = place
            line = parse_line(text)
            if line.name not in COMMUTATIVE:
                what = "order of inputs" if line.name == "Concat" else "inputs exchanged"
                words = f"{line.name}: {what}: {difference.words.partition('order: ')[2]}"
                tree.handed.setdefault(reader, []).append(Difference(words, text, text))
            return True
    return bool(difference.values) and all(
        _explained(was, now, path, tree) for was, now in difference.values if was != now
    )


def _explained(was: str, now: str, path: str, tree: _Tree) -> bool:
    if (was, now) in tree.renamed:
        return True
    return any(tree.changed(module) for value in (was, now) for module in _modules_of(value, path))


def _undone(difference: Difference, child: Change) -> bool:
    """Whether a child whose lines changed is given the same values, in the order in which it reads them now."""
    order = child.differences.outside if child.differences is not None else {}
    was = parse_line(difference.before or "").inputs
    now = dict(enumerate(was)) | dict(zip(difference.order, (value for _, value in difference.values), strict=True))
    return all(was[old : old + 1] == (now.get(new),) for new, old in {**{n: n for n in now}, **order}.items())


def _followed(context: Context, path: str, places: Iterable[int]) -> tuple[str, str] | None:
    """The one line, in a module or one that it calls, where all these inputs are read, and read alone."""
    wanted = {f"in{place}" for place in places}
    row = context.modules.after.get(path)
    for _ in range(64):  # deeper than modules nest: a file that was edited may call in a circle
        if row is None or row.program is None:
            return None
        readers = [line for line in map(parse_line, row.program) if wanted & set(line.inputs)]
        if len(readers) != 1 or not wanted <= set(readers[0].inputs) or "{" in readers[0].name:
            return None
        line = readers[0]
        if not line.is_call:
            return path, line.text
        wanted = {f"in{place}" for place, value in enumerate(line.inputs) if value in wanted}
        path = join_path(path, *called_paths(line.name))
        row = context.modules.after.get(path)
    return None


def _modules_of(value: str, path: str) -> list[str]:
    """The modules that a value is read from, none for one of another kind."""
    name, colon, _ = value.partition(":")
    if not colon or value.startswith(("input ", "%")) or name == _UNTAGGED:
        return []
    return [join_path(path, each) for each in called_paths(name)]


def _compare_untagged(context: Context) -> None:
    before, after = (record.untagged.program for record in (context.before, context.after))
    if before is None or after is None or context.before.untagged.ops != context.after.untagged.ops:
        return
    found = diff_programs(tuple(before), tuple(after)).found
    tree = _Tree(set(), set(), {}, _renamed_inputs(context))
    left = [each for each in found if _own(each) or not all(_explained(*pair, "", tree) for pair in each.values)]
    if left and not context.reported("io.dim_freed", "io.dim_fixed"):
        context.report(
            "ops.changed", f"{'; '.join(each.words for each in left[:4])}, in no module",
            before=[each.before for each in left], after=[each.after for each in left],
        )  # fmt: skip


def report_outputs(context: Context) -> None:
    """Outputs that are now another value of the module that made them, or of another, which nothing else says."""
    if context.reported("io.reordered", "io.output_added", "io.output_removed"):
        return
    changed = {pair.path for pair in context.modules.changed if pair.change.structural}
    changed |= {*context.modules.added, *context.modules.removed}
    new_paths, renamed = context.modules.new_paths, _renamed_inputs(context)
    old, new = (list_tensors(record.outputs) for record in (context.before, context.after))
    for was, now in zip(old, new, strict=False):
        origins = (was.module, was.value), (now.module, now.value)
        if origins[0] == origins[1] or (origins[0][1], origins[1][1]) in renamed or None in (was.value, now.value):
            continue
        modules = [path for path in (was.module, now.module) if path is not None]
        if changed.intersection(modules) or any(path in new_paths for path in modules):
            continue
        before, after = (
            f"{module or 'the root' if module is not None else 'no module'}: {value}" for module, value in origins
        )
        context.report(
            "ops.changed", f"output {now.name}: {before} -> {after}",
            module=_around(modules, context) if modules else None, before=before, after=after,
        )  # fmt: skip


def _around(modules: Sequence[str], context: Context) -> str:
    """The innermost module around some; a list of modules, which never ran, is none."""
    outer = common_prefix(modules)
    if outer in modules:
        return outer
    ran = {path for row in context.after.modules for path in expand_pattern(row.path)}
    return outer if outer in ran else nearest(outer, ran) or ""
