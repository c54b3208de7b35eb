"""coverage.dropped, direct.dropped, coverage.improved: the ratchet.

Coverage is taken literally: below the baseline's by more than the tolerance, below the minimum, above the
baseline's. Another number of nodes is no excuse; the message then says how many of them lack evidence. Direct
coverage moves with every operator that comes or goes, since fused operators, bodies and shape code are never
direct: with another number of nodes it counts only where more of them than before lack direct evidence.

What another finding says is not said again:

- axes fixed or freed (``io.dim_*``) took or brought shape code, which no module owns;
- control flow has bodies, and fusions operators of several modules: neither can have direct evidence;
- a node without evidence isn't direct either. direct.dropped comes beside coverage.dropped only where direct
  coverage fell by more, in modules away from those that lost nodes, or in none that rows show.
"""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.compare.policy import IGNORE
from pytest_htp.compare.rules.attestation import newly_contradicted
from pytest_htp.format.paths import Neighbourhood
from pytest_htp.format.record import CoverageRow
from pytest_htp.text import percent

# Percentages are quotients of counts: anything smaller is the last bit of a double.
_EPSILON = 1e-6
_AXES = ("io.dim_fixed", "io.dim_freed")


def compare_coverage(context: Context) -> None:
    before, after = context.before.coverage, context.after.coverage
    drop = before.coverage - after.coverage
    minimum = context.min_coverage
    below = minimum is not None and after.coverage < minimum - _EPSILON
    dropped = drop > context.coverage_tolerance + _EPSILON and not _from_axes(context, before.none, after.none)
    change = f"coverage {percent(before.coverage)} -> {percent(after.coverage)}"
    if dropped or below:
        message = f"{change} ({_direct_change(context)})"
        if below and minimum is not None:
            message = f"coverage {percent(after.coverage)} is below the minimum {percent(minimum)}; {message}"
        if dropped and before.total_nodes != after.total_nodes:
            message += f"; without evidence: {_lacking(before)}, now {_lacking(after)}"
        context.report_once("coverage.dropped", message, _losers(context), before=before.coverage, after=after.coverage)
    elif drop < -_EPSILON:
        context.report("coverage.improved", change, before=before.coverage, after=after.coverage)
    _compare_direct(context, beyond=drop if dropped else None)


def _direct_change(context: Context) -> str:
    old, new = (record.coverage.direct_coverage for record in (context.before, context.after))
    wrong = len(newly_contradicted(context))
    accused = f"; values contradict the tags of {wrong} module{'s' * (wrong != 1)}" if wrong else ""
    return f"direct {percent(old)} -> {percent(new)}{accused}"


def _lacking(coverage: CoverageRow) -> str:
    return f"{coverage.none} of {coverage.total_nodes} nodes"


def _compare_direct(context: Context, *, beyond: float | None) -> None:
    """``beyond``: the points that coverage.dropped stands for, None where it isn't reported."""
    before, after = context.before.coverage, context.after.coverage
    drop = before.direct_coverage - after.direct_coverage
    if drop <= context.coverage_tolerance + _EPSILON:
        return
    losers = _losers(context)
    if context.stage is not None:
        # What a stage puts in is inferred and what it fuses is fused, by definition: only nodes that it left as they
        # were can lose their evidence.
        losers = [pair.path for pair in context.modules.changed if pair.change.direct < 0 and not pair.change.ops]
        if not losers:
            return
    if beyond is not None and context.policy.verdict("coverage.dropped") != IGNORE:
        drop -= beyond
        untagged = Neighbourhood(pair.path for pair in context.modules.changed if pair.change.nodes < 0)
        away = [path for path in losers if path not in untagged]
        if losers and not away:
            return
        losers = away
        if drop <= context.coverage_tolerance + _EPSILON:
            return
    old, new = (part.total_nodes - part.direct for part in (before, after))
    if before.total_nodes != after.total_nodes and new <= old:
        return
    if not _from_axes(context, old, new) and not _from_known_causes(context):
        values = before.direct_coverage, after.direct_coverage
        context.report_once("direct.dropped", _direct_change(context), losers, before=values[0], after=values[1])


def _losers(context: Context) -> list[str]:
    """Modules whose nodes lost direct evidence."""
    return [pair.path for pair in context.modules.changed if pair.change.direct < 0]


def _from_axes(context: Context, old: int, new: int) -> bool:
    """Axes were freed or fixed, and as many nodes lack evidence now as new shape code may, or no more than did."""
    grown = context.after.coverage.total_nodes - context.before.coverage.total_nodes
    return context.reported(*_AXES) and new - old <= max(grown, 0)


def _from_known_causes(context: Context) -> bool:
    """Bodies of control flow and operators fused from several modules can't have direct evidence."""
    causes = Neighbourhood(
        context.modules_by_code.get("controlflow.added", set()) | context.modules_by_code.get("fusion.gained", set())
    )
    concerned = [pair.path for pair in context.modules.changed if pair.change.not_direct > 0]
    no_worse = context.after.coverage.none <= context.before.coverage.none
    return bool(concerned) and no_worse and all(path in causes for path in concerned)
