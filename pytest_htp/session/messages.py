"""Why an export fails its test, as text."""

from __future__ import annotations

from msgspec import to_builtins

from pytest_htp.baseline.stored import Stored
from pytest_htp.compare.finding import Comparison
from pytest_htp.compare.message import render_failure
from pytest_htp.report.result import BaselineState, Commands, ExportResult
from pytest_htp.session.judge import Judgement


def failure_text(result: ExportResult, found: Judgement, stored: Stored | None, report: str | None) -> str:
    """Why an export that was made fails its test; ``report`` is the report's page, for the reader to open."""
    accept = result.commands.accept
    if stored is not None and stored.problem is not None and found.state is BaselineState.ERROR:
        what = "replace it by what it points to" if stored.remedy else "accept the current export with"
        return f"{result.name}: {stored.problem}\n\n{what}:\n  {accept}"
    if found.state is not BaselineState.MISSING or not found.acceptable:
        return _findings_text(result, found.comparison, result.commands, report)
    lines = [
        f"{result.name}: there is no baseline yet",
        f"  expected: {result.baseline}",
        "",
        "create it, review it, commit it:",
        f"  {accept}",
    ]
    if found.comparison.at_or_above(result.fail_on or ""):
        lines += ["", _findings_text(result, found.comparison, Commands(), report)]
    return "\n".join(lines)


def missing_text(result: ExportResult, found: Comparison, report: str | None) -> str:
    """Why a test fails that no longer makes an export."""
    text = _findings_text(result, found, Commands(reproduce=result.commands.reproduce), report)
    return f"{text}\n\nif it is no longer to be made, delete its baseline:\n  {result.commands.accept}"


def _findings_text(result: ExportResult, found: Comparison, commands: Commands, report: str | None) -> str:
    shown = to_builtins(commands)
    if report is not None:
        shown["report"] = report
    return render_failure(found, name=result.name, fail_on=result.fail_on or "", commands=shown)
