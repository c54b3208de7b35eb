"""GitHub Actions annotations: one workflow command per test, worst first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pytest_htp.report import views
from pytest_htp.report.model import by_severity, is_failed, needs_attention
from pytest_htp.report.result import ExportResult, Incomplete, Report
from pytest_htp.report.text import NAME_LIMIT, inert, message_lines
from pytest_htp.text import plural

ANNOTATION_LIMIT = 10  # GitHub shows ten a step
_MESSAGE_LIMIT = 1_000
_PATH_LIMIT = 400

_Place = Callable[[str], str]  # a report's path → the repository's


def github_annotations(
    report: Report,
    *,
    root: Path = Path(),
    limit: int = ANNOTATION_LIMIT,
    environ: Mapping[str, str] = os.environ,
) -> list[str]:
    """Workflow commands to print, each on a line of its own; empty outside GitHub Actions.

    At most one per test (its worst export) and ``limit`` per run. A failed test is an error; one that passed
    although its export changed is a warning.

    The report's paths are relative to ``root``, pytest's root directory. GitHub wants them relative to the repository:
    ``$GITHUB_WORKSPACE``, else the current folder.
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    worst: dict[str, list[ExportResult]] = {}
    for result in by_severity(report.exports):
        if needs_attention(result):
            worst.setdefault(result.nodeid, []).append(result)
    place = partial(_in_repository, root=root, repository=Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()))
    lines = [_annotation(results, place) for results in worst.values()]
    known = {"", *worst}  # without a node id it is about the run, which has no line to stand at
    others = {entry.nodeid: entry for entry in report.incomplete if entry.nodeid not in known}
    lines += [_incomplete_annotation(entry, place) for entry in others.values()]
    return lines[:limit]


def _in_repository(path: str, *, root: Path, repository: Path) -> str:
    """``path`` relative to the repository; as it is where it lies elsewhere."""
    try:
        return (root / path).resolve().relative_to(repository.resolve()).as_posix()
    except (OSError, ValueError):
        return path


def _annotation(results: list[ExportResult], place: _Place) -> str:
    result = results[0]
    level = "error" if is_failed(result) else "warning"
    title = f"{views.shown_verdict(result)}: {inert(result.name, NAME_LIMIT)}"
    return _command(level, result, place, title, _message(results))


def _incomplete_annotation(entry: Incomplete, place: _Place) -> str:
    title = f"{entry.outcome}: {inert(entry.nodeid or 'the run', NAME_LIMIT)}"
    return _command("error", entry, place, title, inert(entry.message, _MESSAGE_LIMIT))


def _command(level: str, test: ExportResult | Incomplete, place: _Place, title: str, message: str) -> str:
    """A workflow command for a test (``nodeid``, ``file``, ``line``)."""
    properties = {}
    if path := test.file or test.nodeid.partition("::")[0]:
        properties["file"] = inert(place(path), _PATH_LIMIT)
    if test.line is not None:
        properties["line"] = str(test.line)
    properties["title"] = title
    given = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    return f"::{level} {given}::{_escape(message)}"


def _message(results: list[ExportResult]) -> str:
    result = results[0]
    if result.error:
        step = views.step_words(result.error)
        message = f"{result.error.type} at {step}: {result.error.message}"
        lines = message_lines(message, _MESSAGE_LIMIT)
    else:
        lines = [
            f"{views.finding_words(item)}{' ' + item.module if item.module else ''}: {item.message}"
            for item in result.findings[:5]
        ]
        if len(result.findings) > 5:
            lines.append(f"and {plural(len(result.findings) - 5, 'finding')} more")
    if not lines:
        lines = [views.verdict_label(result) or f"test {result.outcome}"]
    if len(results) > 1:
        lines.append(f"{plural(len(results) - 1, 'other export')} of this test changed too")
    if command := result.accept_command():
        lines.append(f"{views.accept_title(result).partition(' ')[0]}: {command}")
    return "\n".join(inert(line, _MESSAGE_LIMIT) for line in lines)


def _escape(value: str) -> str:
    """The data of a workflow command. ``##[`` would be read as one of the older kind, anywhere in a line."""
    value = value.replace("##[", "## [")
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(value: str) -> str:
    return _escape(value).replace(":", "%3A").replace(",", "%2C")
