"""coverage.dropped, direct.dropped, coverage.improved: the ratchet."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.compare.paths import Neighbourhood
from pytest_htp.compare.policy import IGNORE
from pytest_htp.compare.rules.attestation import newly_contradicted
from pytest_htp.compare.text import percent

# Percentages are stored with two decimals; anything smaller is rounding.
_EPSILON = 1e-6


def compare_coverage(context: Context) -> None:
    before, after = context.before["coverage"], context.after["coverage"]
    resized = before["total_nodes"] != after["total_nodes"]
    drop = before["coverage"] - after["coverage"]
    minimum = context.min_coverage
    below = minimum is not None and after["coverage"] < minimum - _EPSILON
    # With another number of nodes the ratio moves by itself: what counts is whether more nodes lack evidence.
    lost = not resized or after["none"] > before["none"]
    dropped = drop > context.coverage_tolerance + _EPSILON and lost and not _from_new_axes(context, "none")
    wrong = len(newly_contradicted(context))
    direct_text = f"direct {percent(before['direct_coverage'])} -> {percent(after['direct_coverage'])}"
    if wrong:
        direct_text += f"; values contradict the tags of {wrong} module{'s' * (wrong != 1)}"
    if dropped or below:
        message = f"coverage {percent(before['coverage'])} -> {percent(after['coverage'])} ({direct_text})"
        if below and minimum is not None:
            message = f"coverage {percent(after['coverage'])} is below the minimum {percent(minimum)}; {message}"
        context.report_once(
            "coverage.dropped", message, _losers(context), before=before["coverage"], after=after["coverage"]
        )
    elif drop < -_EPSILON and (not resized or after["none"] < before["none"]):
        context.report(
            "coverage.improved",
            f"coverage {percent(before['coverage'])} -> {percent(after['coverage'])}",
            before=before["coverage"],
            after=after["coverage"],
        )
    _compare_direct(context, direct_text, covered=dropped)


def _compare_direct(context: Context, text: str, *, covered: bool) -> None:
    before, after = context.before["coverage"], context.after["coverage"]
    if before["direct_coverage"] - after["direct_coverage"] <= context.coverage_tolerance + _EPSILON:
        return
    if covered and context.policy.verdict("coverage.dropped") != IGNORE:
        return  # a node without evidence isn't direct either: one fault, one finding
    old, new = (part["total_nodes"] - part["direct"] for part in (before, after))
    if before["total_nodes"] != after["total_nodes"] and new <= old:
        return
    if _from_new_axes(context, "direct") or _from_known_causes(context):
        return
    context.report_once(
        "direct.dropped",
        text,
        _losers(context),
        before=before["direct_coverage"],
        after=after["direct_coverage"],
    )


def _losers(context: Context) -> list[str]:
    """Modules whose nodes lost direct evidence."""
    return [pair.path for pair in context.modules.changed if pair.change.direct < 0]


def _from_new_axes(context: Context, kind: str) -> bool:
    """Axes became dynamic and the nodes without (direct) evidence are all new: shape code that no module
    owns."""
    if not context.reported("io.dim_freed"):
        return False
    before, after = context.before["coverage"], context.after["coverage"]
    old, new = (part["none"] if kind == "none" else part["total_nodes"] - part["direct"] for part in (before, after))
    return bool(0 < new - old <= after["total_nodes"] - before["total_nodes"])


def _from_known_causes(context: Context) -> bool:
    """Bodies of control flow and operators fused from several modules can't have direct evidence."""
    causes = Neighbourhood(
        context.modules_by_code.get("controlflow.added", set()) | context.modules_by_code.get("fusion.gained", set())
    )
    concerned = [pair.path for pair in context.modules.changed if pair.change.not_direct > 0]
    no_worse = context.after["coverage"]["none"] <= context.before["coverage"]["none"]
    return bool(concerned) and no_worse and all(path in causes for path in concerned)
