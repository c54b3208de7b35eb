"""What a run shows that the run with the good versions did not: pure, from two reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import finding_order
from pytest_htp.compare.verdicts import at_or_above, severity
from pytest_htp.report.result import ExportResult, FindingRow, Incomplete, Report

DEFAULT_FAIL_ON = "drift"


@dataclass(frozen=True)
class Change:
    """One export that is no longer as with the good versions.

    Attributes:
        name: the test's, with the export's in brackets where it has one.
        findings: at or above what fails the test, worst first; empty where the export was not made.
        reason: why it was not made.
    """

    nodeid: str
    name: str
    findings: tuple[FindingRow, ...] = ()
    reason: str = ""

    @property
    def verdict(self) -> str:
        """The worst one; an export that is not made is ``breaking``."""
        return self.findings[0].verdict if self.findings else "breaking"

    @property
    def summary(self) -> str:
        """The verdict and the worst finding, or the reason."""
        if not self.findings:
            return f"{self.verdict}: {self.reason}"
        return f"{self.verdict} {self.findings[0].code} {self.findings[0].module or ''}".rstrip()


def failing(report: Report) -> list[Change]:
    """Exports that fail their test already, whatever they are compared with; a missing baseline is no failure."""
    found = []
    for result in report.exports:
        findings = _failing_findings(result)
        if result.error is not None or findings:
            found.append(Change(result.nodeid, result.name, findings, _error(result)))
    return found


def changes(good: Report, now: Report, only: frozenset[str] | None = None) -> list[Change]:
    """Exports of ``good`` that are no longer so, worst first; ``info`` changes nothing.

    An export with a baseline has its test's own findings; one without is compared with that of ``good``, a run in which
    no export is failing. ``only``: the tests that ran, by node id; None: all.
    """
    there = {(result.nodeid, result.name): result for result in now.exports}
    known = {(entry.nodeid, entry.message) for entry in good.incomplete}
    news = [entry for entry in now.incomplete if (entry.nodeid, entry.message) not in known]
    found, missing = [], []
    for before in good.exports:
        if only is not None and before.nodeid not in only:
            continue
        after = there.get((before.nodeid, before.name))
        if after is None:
            missing.append(Change(before.nodeid, before.name, reason=_why_missing(before, news)))
        elif (findings := _findings(before, after)) or after.error is not None:
            found.append(Change(before.nodeid, before.name, findings, _error(after)))
    concerned = {change.nodeid for change in (*found, *missing)}
    # A test that fails elsewhere than in its exports, which it made all the same.
    tests = {result.nodeid for result in good.exports if only is None or result.nodeid in only}
    elsewhere = [entry for entry in news if entry.nodeid in tests - concerned]
    found += [Change(entry.nodeid, entry.nodeid.rpartition("::")[2], reason=entry.message) for entry in elsewhere]
    stopped = any(not entry.nodeid for entry in news)  # pytest -x: what did not run is not changed
    return sorted(found if stopped and found else [*found, *missing], key=lambda change: -severity(change.verdict))


def exports_made(report: Report) -> int:
    """How many exports a run paid for."""
    return sum(not result.cached and result.shared_with is None for result in report.exports)


def _findings(before: ExportResult, after: ExportResult) -> tuple[FindingRow, ...]:
    if before.before is not None or before.record is None or after.record is None:
        return _failing_findings(after)
    compared = compare_exports(before.record, after.record)
    return tuple(FindingRow(**row) for row in compared.at_or_above(after.fail_on or DEFAULT_FAIL_ON))


def _failing_findings(result: ExportResult) -> tuple[FindingRow, ...]:
    limit = result.fail_on or DEFAULT_FAIL_ON
    found = [row for row in result.findings if at_or_above(row.verdict, limit)]
    return tuple(sorted(found, key=lambda row: finding_order({"verdict": row.verdict, "code": row.code})))


def _error(result: ExportResult) -> str:
    if result.error is None:
        return ""
    lines = (result.error.message or "").splitlines()
    return f"{result.error.type}: {lines[0] if lines else ''}"


def _why_missing(result: ExportResult, news: Sequence[Incomplete]) -> str:
    """What the report says of the test, else of its file."""
    for nodeid in (result.nodeid, result.nodeid.partition("::")[0]):
        for entry in news:
            if entry.nodeid == nodeid:
                return entry.message
    return "the export is not made"
