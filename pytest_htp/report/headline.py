"""The one word at the top of every report: the worst verdict, unless that would hide a failure.

Exports can all be unchanged in a run that failed: a baseline is missing, a test fails for a reason of its own, a
worker dies. ``unchanged`` (and ``info``, ``improvement``) is said only where nothing failed, nothing was lost and
nothing needs a look.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.report import views
from pytest_htp.report.model import is_failed, needs_attention
from pytest_htp.report.result import ExportResult, Incomplete, Report
from pytest_htp.text import plural

_SAYS_IT_ALL = VERDICTS[:3]  # breaking, regression, drift: nothing worse can be said
# Worst first, as they are listed where several apply.
_LABELS = (
    "incomplete", "test failed", "bad baseline", "baseline not written", "no baseline", "test skipped", "needs a look",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Headline:
    """What to say of the whole run.

    Attributes:
        word: a verdict, or what is said in its place.
        kind: the verdict whose colour and symbol it has, or ``open``: nothing to judge yet.
    """

    word: str
    kind: str


def headline(report: Report) -> Headline:
    """The run's headline."""
    verdict: str = report.totals.verdict
    if verdict in _SAYS_IT_ALL:
        return Headline(verdict, verdict)
    troubles = {_trouble(result) for result in report.exports}
    troubles |= {"incomplete" if entry.outcome == "lost" else "test failed" for entry in report.incomplete}
    for label in _LABELS:
        if label in troubles:
            return Headline(label, views.label_kind(label))
    if verdict == "unchanged":
        words = views.verdict_counts(report.exports)
        if not words:
            return Headline("no exports", "open")
        if verdict not in words:  # not one was compared
            word = next(iter(words))
            return Headline(word, views.label_kind(word))
    return Headline(verdict, verdict)


def attention_words(report: Report) -> str:
    """``2 of 5 exports need a look``, and which tests have no export to look at."""
    attention = sum(needs_attention(result) for result in report.exports)
    exports = plural(report.totals.exports, "export")
    words = [f"{attention} of {exports} {'needs' if attention == 1 else 'need'} a look"] if attention else [exports]
    words += incomplete_words(report.incomplete)
    return ", ".join(words if len(words) > 1 or attention else [*words, "nothing to look at"])


def incomplete_words(incomplete: list[Incomplete]) -> list[str]:
    """``1 lost``, ``2 failures outside of the exports``; nothing for none."""
    lost = sum(entry.outcome == "lost" for entry in incomplete)
    failed = len(incomplete) - lost
    words = [f"{lost:,} lost"] if lost else []
    return [*words, f"{plural(failed, 'failure')} outside of the exports"] if failed else words


def _trouble(result: ExportResult) -> str:
    """What keeps an export from being summed up by its verdict, or an empty string."""
    if (label := views.verdict_label(result)) in _LABELS:
        return label
    if is_failed(result) and not _fails_by_verdict(result):
        return "test failed"
    return "needs a look" if needs_attention(result) and result.verdict == "unchanged" else ""


def _fails_by_verdict(result: ExportResult) -> bool:
    fail_on = result.fail_on
    return fail_on in VERDICTS and VERDICTS.index(result.verdict) <= VERDICTS.index(fail_on)
