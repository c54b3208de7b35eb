"""GitHub Actions annotations: one workflow command per test, worst first."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pytest_htp.report import views
from pytest_htp.report.model import Report, Result, by_severity, needs_attention
from pytest_htp.report.text import NAME_LIMIT, inert, plural

ANNOTATION_LIMIT = 10  # GitHub shows ten a step
_MESSAGE_LIMIT = 1_000
_PATH_LIMIT = 400


def github_annotations(
    report: Report, *, limit: int = ANNOTATION_LIMIT, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Workflow commands to print, each on a line of its own; empty outside GitHub Actions.

    At most one per test (its worst export) and ``limit`` per run. A failed test is an error; one that passed
    although its export changed is a warning.
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    worst: dict[str, list[Result]] = {}
    for result in by_severity(report["exports"]):
        if needs_attention(result):
            worst.setdefault(result["nodeid"], []).append(result)
    return [_annotation(results) for results in list(worst.values())[:limit]]


def _annotation(results: list[Result]) -> str:
    result = results[0]
    level = "error" if result["outcome"] not in ("passed", "skipped") else "warning"
    properties = {"file": inert(result["file"] or result["nodeid"].partition("::")[0], _PATH_LIMIT)}
    if isinstance(result["line"], int):
        properties["line"] = str(result["line"])
    label = views.verdict_label(result) or result["verdict"]
    properties["title"] = f"{label}: {inert(result['name'], NAME_LIMIT)}"
    given = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    return f"::{level} {given}::{_escape(_message(results))}"


def _message(results: list[Result]) -> str:
    result = results[0]
    if result["error"]:
        step = views.step_words(result["error"])
        lines = [f"{result['error'].get('type')} at {step}: {result['error'].get('message')}"]
    else:
        lines = [
            f"{item['code']}{' ' + item['module'] if item['module'] else ''}: {item['message']}"
            for item in result["findings"][:5]
        ]
        if len(result["findings"]) > 5:
            lines.append(f"and {plural(len(result['findings']) - 5, 'finding')} more")
    if not lines:
        lines = [views.verdict_label(result) or f"test {result['outcome']}"]
    if len(results) > 1:
        lines.append(f"{plural(len(results) - 1, 'other export')} of this test changed too")
    if (command := (result["commands"] or {}).get("accept")) and not result["error"]:
        lines.append(f"{'Create' if result['baseline_status'] == 'missing' else 'Accept'}: {command}")
    return "\n".join(inert(line, _MESSAGE_LIMIT) for line in lines)


def _escape(value: str) -> str:
    """The data of a workflow command. ``##[`` would be read as one of the older kind, anywhere in a line."""
    value = value.replace("##[", "## [")
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(value: str) -> str:
    return _escape(value).replace(":", "%3A").replace(",", "%2C")
