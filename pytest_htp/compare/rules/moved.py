"""tags.moved, and operators that left a module only because their tag was lost (coverage says that)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_htp.compare.changes import Pair, differences
from pytest_htp.compare.context import Context
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import depth_of, path_template
from pytest_htp.text import some


def claim_lost_tags(context: Context) -> None:
    """Claim modules whose operators are now untagged, or tagged elsewhere by inference; and the reverse."""
    before, after = context.before.coverage, context.after.coverage
    untagged = differences(context.before.untagged.ops, context.after.untagged.ops)
    if after.none > before.none or after.direct < before.direct:
        losers = [pair for pair in context.open.values() if pair.change.only_losses]
        gainers = [
            pair
            for pair in context.open.values()
            if pair.change.only_gains and pair.change.not_direct >= pair.change.nodes
        ]
        places = Counter({op: count for op, count in untagged.items() if count > 0})
        places.update(_sum(gainers))
        lost = _sum(losers)
        _claim_within(context, losers, places)
        _claim_within(context, gainers, lost, share=0.5)  # most of them: inference places new nodes there too
        rest = [pair for pair in losers if pair.path in context.open]
        if sum(_sum(rest).values()) <= sum(places.values()):  # lost metadata came with other operators
            context.claim(*(pair.path for pair in rest))
    elif after.none < before.none:
        freed = Counter({op: -count for op, count in untagged.items() if count < 0})
        _claim_within(context, [pair for pair in context.open.values() if pair.change.only_gains], freed)


def _sum(pairs: Iterable[Pair]) -> Counter[str]:
    total: Counter[str] = Counter()
    for pair in pairs:
        total.update({op: abs(count) for op, count in pair.change.ops.items()})
    return total


def _claim_within(context: Context, pairs: list[Pair], available: Counter[str], *, share: float = 1.0) -> None:
    """Claim modules of whose changed nodes at least ``share`` are among the available ones, and use those up."""
    for pair in pairs:
        needed = {op: abs(count) for op, count in pair.change.ops.items()}
        used = {op: min(count, available[op]) for op, count in needed.items()}
        if sum(used.values()) >= share * sum(needed.values()):
            available.subtract(used)
            context.claim(pair.path)


def compare_tags(context: Context) -> None:
    """What one module lost is exactly what another gained: moved one to one, or else all of it in total."""
    by_ops: dict[tuple[tuple[str, int], ...], list[Pair]] = {}
    for pair in context.open.values():
        if pair.change.ops:
            by_ops.setdefault(tuple(pair.change.ops.items()), []).append(pair)
    moves: list[tuple[Pair, Pair]] = []
    for ops, pairs in by_ops.items():
        opposite = tuple((op, -count) for op, count in ops)
        if ops < opposite or opposite not in by_ops:  # the side with the first operator gained comes second
            continue
        moves += zip(by_ops[opposite], pairs, strict=False)
    _report(context, [(source, [target]) for source, target in moves])
    for source, target in moves:
        context.claim(source.path, target.path)

    losers = [pair for pair in context.open.values() if pair.change.only_losses]
    gainers = [pair for pair in context.open.values() if pair.change.only_gains] if losers else []
    if losers and _sum(losers) == _sum(gainers):
        _report(context, [(source, gainers) for source in losers])
        context.claim(*(pair.path for pair in (*losers, *gainers)))


def _report(context: Context, moves: list[tuple[Pair, list[Pair]]]) -> None:
    """Report moves of repeated layers as one finding; it names the deeper module of the two, else the one that lost."""
    groups: dict[object, list[tuple[Pair, list[Pair]]]] = {}
    for source, targets in moves:
        templates = {path_template(pair.path) for pair in targets}
        key = path_template(source.path), frozenset(templates), tuple(source.change.ops.items())
        groups.setdefault(key, []).append((source, targets))
    involved = context.modules_by_code.setdefault("tags.moved", set()) if moves else set()
    for group in groups.values():
        sources = fold_paths(source.path for source, _ in group)
        places = fold_paths({target.path for _, ends in group for target in ends})
        ops = group[0][0].change.ops
        what = ", ".join(f"{op} {abs(count)}" for op, count in ops.items())
        message = f"{what} of {_names(sources)} {'is' if len(ops) == 1 else 'are'} now tagged {_names(places)}"
        for source, ends in group:
            deeper = max((source, *ends), key=lambda pair: depth_of(pair.path)).path
            context.report("tags.moved", message, module=deeper, before={"modules": sources}, after={"modules": places})
            involved.update({source.path, *(end.path for end in ends)})


def _names(patterns: list[str]) -> str:
    return some([pattern or "the root" for pattern in patterns], 3)
