"""weights.untied, weights.duplicated, weights.grown: what is stored, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from msgspec import to_builtins

from pytest_htp.compare.changes import Change
from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.weights import FEW_ELEMENTS, gained_elements, stored_dtype_move
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import ancestors, join_path, nearest, owner_of, relative_to, topmost
from pytest_htp.format.record import DuplicateRow, Record
from pytest_htp.text import size, some

# weights.grown in docs/reference/codes.md: by more than 1%.
_GROWTH = 0.01


def compare_stored_bytes(context: Context) -> None:
    grown = {pair.path: total for pair in context.modules.changed if (total := sum(pair.change.weights.values())) > 0}
    untied = _report_untied(context, grown)
    duplicated, duplicated_bytes = _report_duplicated(context, grown, untied)
    _report_grown(context, grown, untied | duplicated, duplicated_bytes)


def _culprit(names: Sequence[str], grown: dict[str, int]) -> str:
    """The module to name: the one that now stores more, else the owner of the last name."""
    owners = [owner_of(name) for name in names]
    return next((owner for owner in owners if owner in grown), owners[-1])


def _now(name: str, context: Context) -> str:
    """A parameter's name today, should its module have been renamed."""
    owner = owner_of(name)
    return join_path(context.modules.new_paths.get(owner, owner), relative_to(name, owner))


def _report_untied(context: Context, grown: dict[str, int]) -> set[str]:
    after = _stored_once(context.after)
    removed = context.modules.removed
    untied: set[str] = set()
    known = _stored_once(context.before)
    model_ties = [set(group) for group in context.after.weights.tied]
    for group in context.before.weights.tied:
        alive = [_now(name, context) for name in group if owner_of(name) not in removed]
        # A copy that the baseline stored already (a transposed head) leaves the model's own tie to watch.
        ties = after if set(group) in known else model_ties
        if len(alive) < 2 or any(other.issuperset(alive) for other in ties):
            continue
        untied.update(alive)
        context.report(
            "weights.untied",
            f"{' and '.join(fold_paths(alive)[:4])} are no longer one shared tensor",
            module=_culprit(alive, grown),
            before=list(group),
            after=[sorted(other.intersection(alive)) for other in ties if other.intersection(alive)],
        )
        _claim_readers(context, alive)
    return untied


def _stored_once(record: Record) -> list[set[str]]:
    """The groups of tied parameters that the graph stores once."""
    weights = record.weights
    apart = [set(group) for group in weights.tied_apart]
    return [names for group in weights.tied if (names := set(group)) not in apart]


def _report_duplicated(context: Context, grown: dict[str, int], untied: set[str]) -> tuple[set[str], int]:
    """Names newly stored again, and the bytes of all new copies; nothing where one side was not measured."""
    if not (context.before.weights.kept and context.after.weights.kept):
        return set(), 0
    old_groups, new_groups = (record.weights.duplicates for record in (context.before, context.after))
    names: set[str] = set()
    copies = 0
    for group, old in _with_earlier(context, old_groups, new_groups):
        count, earlier = group.copies, 1 if old is None else old.copies
        known = set() if old is None else {_now(name, context) for name in old.names}
        fresh = [name for name in group.names if name not in known]
        if old is not None and not fresh and count <= earlier:
            continue
        names.update(group.names)
        copies += group.bytes * max(count - earlier, 1)
        if group.names and untied.issuperset(fresh or group.names):
            continue
        culprit = _culprit(fresh or group.names, grown) if group.names else None
        owned = culprit is not None and {culprit} == {owner_of(name) for name in group.names}
        shown = [name.rpartition(".")[2] for name in group.names] if owned else group.names
        listed = ", ".join(fold_paths(shown)[:4]) or "copies that the exporter made"
        context.report(
            "weights.duplicated",
            f"{size(group.bytes)} stored {count} times{'' if old is None else f' ({earlier} before)'}: {listed}",
            module=culprit,
            before=to_builtins(old),
            after=to_builtins(group),
        )
        _claim_readers(context, group.names)
    return names, copies


def _with_earlier(
    context: Context, old: Sequence[DuplicateRow], new: Sequence[DuplicateRow]
) -> Iterator[tuple[DuplicateRow, DuplicateRow | None]]:
    """What is newly stored at least twice, with what it was in the baseline: known by one of its names; copies
    that are no parameter's by their size, the most copied first.
    """
    unchanged = Counter(map(_key, old)) & Counter(map(_key, new))
    by_name = {_now(name, context): group for group in old for name in group.names}
    nameless: dict[int, list[DuplicateRow]] = {}
    for group in sorted(_without(old, unchanged), key=attrgetter("copies")):
        if not group.names:
            nameless.setdefault(group.bytes, []).append(group)
    for group in sorted(_without(new, unchanged), key=attrgetter("copies"), reverse=True):
        if group.copies < 2:
            continue
        alike = nameless.get(group.bytes) if not group.names else None
        earlier = alike.pop() if alike else next((by_name[name] for name in group.names if name in by_name), None)
        yield group, earlier


def _without(groups: Sequence[DuplicateRow], some: Counter[tuple[str | int, ...]]) -> Iterator[DuplicateRow]:
    left = Counter(some)
    for group in groups:
        if left[_key(group)]:
            left[_key(group)] -= 1
        else:
            yield group


def _key(group: DuplicateRow) -> tuple[str | int, ...]:
    return (*group.names, group.bytes, group.copies)


def _claim_readers(context: Context, names: Iterable[str]) -> None:
    """Owners that compute the same from another copy of their weights."""
    for path in {owner_of(name) for name in names}:
        pair = context.open.get(path)
        if pair is not None and (not pair.change.ops or pair.change.only_losses) and not pair.change.dtypes:
            context.claim(path)


def _report_grown(context: Context, grown: dict[str, int], copied: Iterable[str], copies: int) -> None:
    before, after = (record.weights.initializers.bytes for record in (context.before, context.after))
    growth = after - before
    if growth <= before * _GROWTH:
        return
    owners = {owner_of(name) for name in copied}
    retyped = {pair.path for pair in context.modules.changed if stored_dtype_move(pair.change, parameters_changed=True)}
    constants = _constants_of_code(context)
    elsewhere = (retyped | constants) - owners
    explained = max(sum(grown.get(owner, 0) for owner in owners), copies)
    explained += sum(total for path, total in grown.items() if path in elsewhere)
    if context.reported("weights.untied") and not grown and not context.after.weights.kept:
        return  # nothing else grew, and the size of the second copy was not measured
    if growth - explained <= before * _GROWTH:
        return
    unexplained = {path: total for path, total in grown.items() if path not in elsewhere and path not in owners}
    unexplained |= _brought(context)
    share = f" (+{100 * growth / before:.1f}%)" if before else ""
    message = f"initializers {size(before)} -> {size(after)}{share}"
    named: list[str | None] = [None]
    if unexplained:
        largest = max(unexplained.values())
        named = [path for path, total in unexplained.items() if total == largest]
        if len(fold_paths(path for path in named if path is not None)) > 1:
            named = named[:1]
        message += f", in {some([pattern or 'the root' for pattern in fold_paths(unexplained)], 3)}"
        _claim_folded_constants(context, unexplained)
    for module in named:
        context.report("weights.grown", message, module=module, before=before, after=after)


def _brought(context: Context) -> dict[str, int]:
    """Bytes by which new modules grew what is around them: a finding of theirs says that they are there, not how much
    they bring. Inside a changed module (a layer that got an adapter) they count for that module.
    """
    modules = context.modules
    changed = {pair.path: pair for pair in modules.changed if pair.path}
    brought: dict[str, int] = {}
    for rows, sign in ((modules.added, 1), (modules.removed, -1)):
        tops = set(topmost(rows))
        for path, row in rows.items():
            owner = nearest(path, changed) or next(top for top in (path, *ancestors(path)) if top in tops)
            brought[owner] = brought.get(owner, 0) + sign * sum(row.weights.values())
    for path in brought.keys() & changed.keys():
        brought[path] += sum(changed[path].change.weights.values())
    return {path: total for path, total in brought.items() if total > 0}


def _constants_of_code(context: Context) -> set[str]:
    """Modules whose code changed and that store a few elements more for it: a scale, a shape, an epsilon."""
    return {
        pair.path
        for pair in context.modules.changed
        if gained_elements(pair.change) <= FEW_ELEMENTS
        and (pair.change.ops or (pair.change.structural and _same_parameters(context)))
    }


def _same_parameters(context: Context) -> bool:
    """Whether the model has the parameters that it had: what is stored otherwise follows from the code."""
    return context.before.weights.parameters == context.after.weights.parameters


def _claim_folded_constants(context: Context, grown: dict[str, int]) -> None:
    """Operators that are gone, or read another value, because their result is now stored; and those that follow larger
    parameters.
    """
    for path in grown:
        pair = context.open.get(path)
        if pair is not None and (pair.change.only_losses or (not pair.change.ops and _follows(pair.change, context))):
            context.claim(path)


def _follows(change: Change, context: Context) -> bool:
    found = change.differences.found if change.differences is not None and _same_parameters(context) else []
    return all(each.values and all(_is_stored(now) > _is_stored(was) for was, now in each.values) for each in found)


def _is_stored(value: str) -> bool:
    """Whether an operand is a parameter or a constant (``FLOAT 0.5``)."""
    return value.startswith("parameter ") or (value[:1].isupper() and ":" not in value)
