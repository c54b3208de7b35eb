"""What a test is to say of an export, given its baseline: a pure decision, without pytest, files or a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from msgspec.structs import replace

from pytest_htp.baseline.stored import Stored
from pytest_htp.compare.context import QUALITY_TOLERANCE
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.extra import add_findings, with_findings
from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.compare.policy import IGNORE, Policy
from pytest_htp.format.record import Record
from pytest_htp.report.result import BaselineState


class Then(Enum):
    """What is to be done with the baseline."""

    NOTHING = auto()
    WRITE = auto()  # once the test has passed
    CONFIRM = auto()  # count it as one that holds
    MISMATCH = auto()  # count it as one that doesn't


@dataclass(frozen=True)
class Rules:
    """By what an export is judged.

    Attributes:
        fail_on: the mildest verdict that fails.
        min_coverage, coverage_tolerance, quality_tolerance: as in :func:`~pytest_htp.compare.engine.compare_exports`.
        sources: module path → operator → ``file.py:line`` of today's export.
        others: the findings of other plugins, given the baseline (None: what is wrong whatever it says).
        failures: what went wrong after the export, which no two records show (``stage.failed``).
        update: whether this run may write the baseline.
    """

    fail_on: str
    min_coverage: float | None = None
    coverage_tolerance: float = 0.0
    quality_tolerance: float = QUALITY_TOLERANCE
    policy: Policy = field(default_factory=Policy)
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    others: Callable[[Record | None], Sequence[Mapping[str, object]]] = lambda before: ()
    failures: Sequence[Finding] = ()
    update: bool = False


@dataclass(frozen=True)
class Judgement:
    """The decision.

    Attributes:
        comparison: what there is to report.
        state: of the baseline, before anything is written.
        failed: whether the export fails its test.
        acceptable: whether updating the baseline would make it pass.
    """

    comparison: Comparison
    state: BaselineState
    failed: bool
    then: Then = Then.NOTHING
    acceptable: bool = True


def judge(record: Record, stored: Stored | None, rules: Rules, *, compares: bool = True) -> Judgement:
    """Decide what becomes of an export and its baseline (None: there is none).

    ``compares`` False: the test compares with none, and only what is wrong whatever a baseline says counts.
    """
    before = stored.record if stored is not None else None
    comparison = _compare(record, before, rules)

    def wrong_anyway() -> Comparison | None:
        """What is wrong whatever a baseline says, where that fails the test."""
        absolute = comparison if before is None else _compare(record, None, rules)
        return absolute if absolute.at_or_above(rules.fail_on) else None

    if not compares:
        return Judgement(comparison, BaselineState.OFF, failed=wrong_anyway() is not None, acceptable=False)
    state = _state(stored, record, rules.quality_tolerance)
    if rules.update:
        # Accepting a change accepts differences from the baseline, not what is wrong whatever it says.
        if (wrong := wrong_anyway()) is not None:
            return Judgement(wrong, state, failed=True, acceptable=False)
        return Judgement(comparison, state, failed=False, then=Then.WRITE)
    if before is None:
        return Judgement(comparison, state, failed=True, acceptable=wrong_anyway() is None)
    if comparison.at_or_above(rules.fail_on):
        return Judgement(comparison, state, failed=True, then=Then.MISMATCH, acceptable=wrong_anyway() is None)
    return Judgement(comparison, state, failed=False, then=Then.CONFIRM)


def _state(stored: Stored | None, record: Record, quality_tolerance: float) -> BaselineState:
    if stored is None:
        return BaselineState.MISSING
    if stored.record is None:
        return BaselineState.ERROR
    return BaselineState.UNCHANGED if stored.holds(record, quality_tolerance) else BaselineState.CHANGED


def _compare(record: Record, before: Record | None, rules: Rules) -> Comparison:
    comparison = compare_exports(
        # What is wrong whatever a baseline says: held against itself, and nothing compiled.
        replace(record, targets=[]) if before is None else before,
        record,
        policy=rules.policy,
        coverage_tolerance=rules.coverage_tolerance,
        quality_tolerance=rules.quality_tolerance,
        min_coverage=rules.min_coverage,
        sources=rules.sources,
    )
    comparison = with_findings(comparison, rules.others(before), rules.policy)
    return add_findings(comparison, rules.failures, rules.policy)


def export_missing(stored: Stored, shown: str, policy: Policy) -> Comparison | None:
    """The finding for a baseline whose export the test did not make; None where the policy ignores it.

    A call behind a condition, an early return, a component that a generative model no longer has: nothing was compared,
    so nothing else would say that something is gone. ``shown``: the baseline's path as messages say it.
    """
    verdict = policy.verdict("export.missing")
    if verdict == IGNORE:
        return None
    name = stored.record.export if stored.record is not None else None
    which = f"the export {name!r}" if name else "an export"
    message = f"the test has a baseline for {which} that it did not make: {shown}"
    return Comparison((Finding("export.missing", message, before=name or stored.path.stem, verdict=verdict),))
