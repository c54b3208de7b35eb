"""The terminal summary: a table of 80 columns, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pytest_htp.monitor.text import cells, shorten
from pytest_htp.report import views
from pytest_htp.report.headline import incomplete_words
from pytest_htp.report.model import CHANGED, by_severity, needs_attention
from pytest_htp.report.names import cut_apart, key_of, labels
from pytest_htp.report.result import BaselineState, ExportResult, Report
from pytest_htp.report.text import inert, number
from pytest_htp.text import plural

WIDTH = 80
ROW_LIMIT = 30  # unchanged exports are listed only while the table stays this short
_INCOMPLETE_LIMIT = 20
_COMMAND_LIMIT = 400  # characters; a longer command names one test and says how many more there are

_GONE = "an export that has a baseline; if that is right, delete it with"

Line = tuple[str, dict[str, bool]]  # text and the markup of pytest's TerminalWriter

_MARKUP: dict[str, dict[str, bool]] = {
    "breaking": {"red": True, "bold": True},
    "regression": {"red": True},
    "drift": {"yellow": True},
    "improvement": {"green": True},
    "info": {"cyan": True},
    "unchanged": {},
}
_COLUMNS = (("verdict", 12), ("test", 21), ("model", 12), ("nodes", 12), ("coverage", 12), ("s", 6))
_RIGHT = {"nodes", "coverage", "s"}


def summary_lines(
    report: Report,
    *,
    html: Path | str | None = None,
    again: Callable[[str], str] = lambda option: f"pytest {option}",
    width: int = WIDTH,
) -> list[Line]:
    """The lines to write under pytest's own separator; empty where nothing was exported.

    Args:
        report: of the run.
        html: where index.html was written, as it should be shown; None where none was.
        again: an option → the command that runs all the tests of the run again with it.
        width: the terminal's columns; what is beyond 80 goes to names.

    Every line starts with our own words, and names are inert, so no test can issue a CI's workflow command.
    """
    exports = by_severity(report.exports)
    lines: list[Line] = [(f"note: {_safe(note)}", {"yellow": True}) for note in report.notes]
    lines += _incomplete(report)
    if not exports:
        return lines
    shown = exports if len(exports) <= ROW_LIMIT else [item for item in exports if needs_attention(item)]
    if shown:
        lines += _table(shown, width)
    counts = [f"{count} {word}" for word, count in views.verdict_counts(exports).items()]
    words = ", ".join([*counts, *incomplete_words(report.incomplete)])
    cached = sum(result.cached for result in exports)
    words += f" ({cached:,} cached)" if cached else ""
    lines.append((f"{plural(len(exports), 'export')}: {words}", {}))
    stopped = any(not entry.nodeid for entry in report.incomplete)  # what had not run must not be accepted unseen
    lines += _next_steps(exports, html, None if stopped else again)
    return lines


def _incomplete(report: Report) -> list[Line]:
    """The tests that have no export to show."""
    entries = report.incomplete
    lines: list[Line] = [
        (f"{entry.outcome}: {_safe(entry.nodeid or 'the run')}: {_safe(entry.message, 120)}", {"red": True})
        for entry in entries[:_INCOMPLETE_LIMIT]
    ]
    if len(entries) > len(lines):
        lines.append((f"and {len(entries) - len(lines):,} more tests", {"red": True}))
    return lines


def _table(exports: Sequence[ExportResult], width: int) -> Iterator[Line]:
    called = labels(exports)
    names = [_safe(called[key_of(result)]) for result in exports]
    models = [_safe(views.model_class(result)) or "-" for result in exports]
    widths = dict(_COLUMNS)
    room = width - WIDTH
    for column, texts in (("test", names), ("model", models)):
        more = min(max(room, 0), max(max(map(cells, texts)) - widths[column], 0))
        widths[column] += more
        room -= more
    names = cut_apart(names, widths["test"])
    yield _row(list(widths), widths), {"bold": True}
    for result, name, model in zip(exports, names, models, strict=True):
        yield _row(_cells(result, name, model), widths), _markup(result)


def _cells(result: ExportResult, name: str, model: str) -> list[str]:
    coverage, delta = views.coverage_words(result)
    return [
        views.shown_verdict(result),
        name,
        model,
        _ascii(f"{number(result.nodes)} {views.nodes_change(result)}"),
        _ascii(f"{coverage} {delta.removesuffix(' pt')}"),
        "cached" if result.cached else _seconds(result.seconds),
    ]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"


def _ascii(text: str) -> str:
    return text.replace("−", "-").replace("–", "-").rstrip()


def _row(cells: Sequence[str], widths: Mapping[str, int]) -> str:
    parts = [fit(cell, widths[title], right=title in _RIGHT) for cell, title in zip(cells, widths, strict=True)]
    return " ".join(parts).rstrip()


def fit(text: str, width: int, *, right: bool = False) -> str:
    """``text`` in exactly ``width`` terminal columns, the middle of a longer one left out."""
    text = shorten(text, width)
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _markup(result: ExportResult) -> dict[str, bool]:
    kind = views.verdict_kind(result)
    if kind == "open":
        return {"yellow": True} if needs_attention(result) else {}
    return _MARKUP[kind]


def _next_steps(
    exports: Sequence[ExportResult], html: Path | str | None, again: Callable[[str], str] | None
) -> list[Line]:
    broken = [item for item in exports if item.error]
    without = [item for item in exports if item.baseline_status is BaselineState.MISSING and not item.error]
    missing = [item for item in without if item.accept_command()]
    unfit = [item for item in without if not item.accept_command()]
    gone = [item for item in exports if item.baseline_status is BaselineState.NO_EXPORT and item.accept_command()]
    changed = [
        item
        for item in exports
        if item.verdict in CHANGED and item.accept_command() and item not in missing and item not in gone
    ]
    lines: list[Line] = []
    if html is not None:
        lines.append((f"report: {_safe(str(html))}", {}))
    for results, one, several, key in (
        (broken, "failed to export; reproduce with", "failed to export; reproduce with", "reproduce"),
        (
            unfit,
            "can have no baseline as it is; reproduce with",
            "can have no baseline as they are; reproduce with",
            "reproduce",
        ),
        (missing, "has no baseline; create it with", "have no baseline; create them with", "accept"),
        (changed, "changed; after review, accept with", "changed; after review, accept with", "accept"),
        (gone, f"no longer makes {_GONE}", f"no longer make {_GONE}", "accept"),
    ):
        if results:
            tests = list(dict.fromkeys(item.nodeid for item in results))
            words = one if len(tests) == 1 else several
            lines.append((f"next: {plural(len(tests), 'test')} {words}", {"bold": True}))
            rest = f"and {plural(len(tests) - 1, 'more test')}"
            rest += ", each with its command in the report" if html is not None else ""
            lines += [(f"  {line}", {}) for line in _command(results, key, rest, again)]
    return lines


def _command(results: Sequence[ExportResult], key: str, rest: str, again: Callable[[str], str] | None) -> Iterable[str]:
    """The command for all the tests; what is too long for a line runs them all again, or the first one alone."""
    commands = list(dict.fromkeys(command for item in results if (command := getattr(item.commands, key))))
    if not commands:
        return []
    together = commands[0] if len(commands) == 1 else _joined(commands)
    if len(commands) == 1 or (together and len(together) <= _COMMAND_LIMIT):
        return [_safe(together, None)]
    option = commands[0].rpartition(" ")[2] if key == "accept" else ""
    if again is not None and option.startswith("--"):
        return [_safe(again(option), None)]
    return [_safe(commands[0], None), rest]


def _joined(commands: Sequence[str]) -> str:
    """One command that does what several do, which name a test each and are alike otherwise; empty for others."""
    try:
        words = [shlex.split(command) for command in commands]
    except ValueError:  # no command line: from a report that somebody else wrote
        return ""
    if len({len(line) for line in words}) != 1:
        return ""
    different = [position for position, column in enumerate(zip(*words, strict=True)) if len(set(column)) > 1]
    if len(different) != 1:
        return ""
    position = different[0]
    return shlex.join([*words[0][:position], *(line[position] for line in words), *words[0][position + 1 :]])


def _safe(text: str, limit: int | None = 400) -> str:
    return inert(text, limit).replace("##[", "## [")  # GitHub's older commands are read anywhere in a line
