"""weights.untied, weights.duplicated, weights.grown: what is stored, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_htp.compare.context import Context, Record
from pytest_htp.compare.rules.weights import stored_dtype_move
from pytest_htp.compare.text import size
from pytest_htp.record.fold import fold_paths

# Contract: weights.grown above 1%.
_GROWTH = 0.01


def compare_stored_bytes(context: Context) -> None:
    grown = {pair.path: total for pair in context.modules.changed if (total := sum(pair.change.weights.values())) > 0}
    untied = _report_untied(context, grown)
    duplicated, duplicated_bytes = _report_duplicated(context, grown, untied)
    _report_grown(context, grown, untied | duplicated, duplicated_bytes)


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _culprit(names: Sequence[str], grown: dict[str, int]) -> str:
    """The module to name: the one that now stores more, else the owner of the last name."""
    owners = [_owner(name) for name in names]
    return next((owner for owner in owners if owner in grown), owners[-1])


def _now(name: str, context: Context) -> str:
    """A parameter's name today, should its module have been renamed."""
    owner, dot, last = name.rpartition(".")
    return context.modules.new_paths.get(owner, owner) + dot + last


def _report_untied(context: Context, grown: dict[str, int]) -> set[str]:
    after = _stored_once(context.after)
    removed = context.modules.removed
    untied: set[str] = set()
    known = _stored_once(context.before)
    model_ties = [set(group) for group in context.after["weights"]["tied"]]
    for group in context.before["weights"]["tied"]:
        alive = [_now(name, context) for name in group if _owner(name) not in removed]
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
    weights = record["weights"]
    apart = [set(group) for group in weights.get("tied_apart", ())]
    return [names for group in weights["tied"] if (names := set(group)) not in apart]


def _report_duplicated(context: Context, grown: dict[str, int], untied: set[str]) -> tuple[set[str], int]:
    """Names newly stored again, and the bytes of all new copies; nothing where one side was not measured."""
    old_groups, new_groups = (record["weights"]["duplicates"] for record in (context.before, context.after))
    if old_groups is None or new_groups is None:
        return set(), 0
    known = {name: position for position, group in enumerate(old_groups) for name in group["names"]}
    names: set[str] = set()
    copies = 0
    for group in new_groups:
        old_homes = {known.get(name) for name in group["names"]}
        count = _copies(group)
        old = next((old_groups[home] for home in old_homes if home is not None), None)
        if not group["names"] or count < 2:
            continue
        if len(old_homes) == 1 and old is not None and _copies(old) >= count:
            continue
        names.update(group["names"])
        fresh = [name for name in group["names"] if name not in known]
        copies += group["bytes"] * max(count - (1 if old is None else _copies(old)), 1)
        if untied.issuperset(fresh or group["names"]):
            continue
        listed = ", ".join(fold_paths(group["names"])[:4])
        context.report(
            "weights.duplicated",
            f"{size(group['bytes'])} stored {count} times: {listed}",
            module=_culprit(fresh or group["names"], grown),
            before=None,
            after=dict(group),
        )
        _claim_readers(context, group["names"])
    return names, copies


def _copies(group: Mapping[str, Any]) -> int:
    return int(group.get("copies", len(group["names"])))


def _claim_readers(context: Context, names: Iterable[str]) -> None:
    """Owners that compute the same from another copy of their weights."""
    for path in {_owner(name) for name in names}:
        pair = context.open.get(path)
        if pair is not None and (not pair.change.ops or pair.change.only_losses) and not pair.change.dtypes:
            context.claim(path)


def _report_grown(context: Context, grown: dict[str, int], copied: Iterable[str], copies: int) -> None:
    before, after = (record["weights"]["initializers"]["bytes"] for record in (context.before, context.after))
    growth = after - before
    if growth <= before * _GROWTH:
        return
    owners = {_owner(name) for name in copied}
    retyped = {pair.path for pair in context.modules.changed if stored_dtype_move(pair.change, parameters_changed=True)}
    explained = max(sum(grown.get(owner, 0) for owner in owners), copies)
    explained += sum(total for path, total in grown.items() if path in retyped and path not in owners)
    explained += sum(sum(row["weights"].values()) for row in context.modules.added.values())
    if context.reported("weights.untied") and not grown and context.after["weights"]["duplicates"] is None:
        return  # nothing else grew, and the size of the second copy was not measured
    if growth - explained <= before * _GROWTH:
        return
    unexplained = {path: total for path, total in grown.items() if path not in retyped and path not in owners}
    share = f" (+{100 * growth / before:.1f}%)" if before else ""
    message = f"initializers {size(before)} -> {size(after)}{share}"
    module = None
    if unexplained:
        largest = max(unexplained.values())
        module = next(path for path, total in unexplained.items() if total == largest)
        where = [pattern or "the root" for pattern in fold_paths(unexplained)]
        message += f", in {', '.join(where[:3])}" + (f" and {len(where) - 3} more" if len(where) > 3 else "")
        _claim_folded_constants(context, unexplained)
    context.report("weights.grown", message, module=module, before=before, after=after)


def _claim_folded_constants(context: Context, grown: dict[str, int]) -> None:
    """Operators that are gone, or read another value, because their result is now stored."""
    for path in grown:
        pair = context.open.get(path)
        if pair is not None and (pair.change.only_losses or not pair.change.ops):
            context.claim(path)
