"""The failure message: plain text that looks right at 80 columns, in CI and without colour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from pytest_htp.compare.codes import CODES
from pytest_htp.compare.finding import OTHER_MODEL, Comparison, Finding, finding_order
from pytest_htp.compare.verdicts import at_or_above, worst
from pytest_htp.text import inert

_HEADING = "findings, worst first:"


def render_failure(
    result: Comparison,
    *,
    name: str,
    fail_on: str,
    commands: Mapping[str, str] | None = None,
    width: int = 80,
    limit: int | None = 20,
) -> str:
    """Say what changed, where, how bad, the likely cause, and what to do next.

    Args:
        result: what was found.
        name: what was exported, usually the test's name.
        fail_on: the mildest verdict that fails; milder findings are listed after the worse ones all the same.
        commands: ``reproduce`` and ``accept``, shown whole on their own lines; ``report``: where the full list is.
        width: columns; at least 40.
        limit: findings shown, None for all.
    """
    findings = sorted(result.findings, key=finding_order)
    commands = commands or {}
    width = max(width, 40)
    lines = _wrapped(_verdict_line(findings, name, fail_on), width, "", "  ")
    for finding in findings:
        if finding.message.startswith(OTHER_MODEL):
            lines += ["", *_wrapped(finding.message, width, "", "  ")]
    cause = next((finding for finding in findings if finding.code == "toolchain.changed"), None)
    rest = [finding for finding in findings if finding is not cause]
    explained: list[Finding] = []
    if cause is not None:
        lines += ["", "likely cause: the toolchain differs from the baseline's"]
        lines += [line for part in _versions(cause) for line in _wrapped(part, width, "  ", "    ")]
        explained = [finding for finding in rest if _explains(cause, finding)]
        rest = [finding for finding in rest if not _explains(cause, finding)]
    left = len(findings) if limit is None else limit
    for heading, group in (
        ("it can explain, worst first:", explained),
        ("it can't explain, worst first:" if cause is not None else _HEADING, rest),
    ):
        if group and left > 0:
            lines += ["", heading]
            for finding in group[:left]:
                lines += _finding_lines(finding, width)
            left -= len(group)
            left = max(left, 0)
    hidden = max(len(explained) + len(rest) - (len(findings) if limit is None else limit), 0)
    if hidden:
        where = commands.get("report") or "the report that --htp-report writes"
        lines += _wrapped(f"... and {hidden} more; the full list is in {where}", width, "  ", "  ")
    lines += _command_lines(commands)
    return "\n".join(lines)


def _verdict_line(findings: Sequence[Finding], name: str, fail_on: str) -> str:
    verdict = worst(finding.verdict for finding in findings)
    failing = sum(at_or_above(finding.verdict, fail_on) for finding in findings)
    if not findings:
        return f"{inert(name)}: unchanged"
    count = f"{failing} finding{'s' * (failing != 1)}" if failing else "nothing"
    milder = len(findings) - failing
    return f"{inert(name)}: {verdict} ({count} at or above {fail_on}{f', {milder} milder' if milder else ''})"


def _versions(cause: Finding) -> Iterable[str]:
    before, after = cause.before or {}, cause.after or {}
    for package in sorted({*before, *after}):
        yield inert(f"{package} {before.get(package) or 'absent'} -> {after.get(package) or 'absent'}")


def _explains(cause: Finding, finding: Finding) -> bool:
    """Exporter findings always; findings on the model's own code where the package that has the model changed."""
    known = CODES.get(finding.code)
    return known is not None and (known.cause == "exporter" or "transformers" in (cause.after or {}))


def _finding_lines(finding: Finding, width: int) -> list[str]:
    module = finding.module
    where = "" if module is None else "(root module)" if module == "" else inert(module)
    if finding.stage is not None:
        where = f"{where} [{inert(finding.stage)}]".lstrip()
    head = f"{finding.verdict:<11} {finding.code}"
    lines = [f"  {head}  {where}".rstrip()]
    if len(lines[0]) > width:
        lines = [f"  {head}", *_wrapped(where, width, "    ", "    ")]
    message = inert(finding.message)
    lines += _wrapped(message, width, "    ", "    ")
    if "->" not in message:
        values = [_value(finding.before), _value(finding.after)]
        if any(values) and values[0] != values[1]:
            lines += _wrapped(f"{values[0] or 'none'} -> {values[1] or 'none'}", width, "    ", "      ")
    return lines


def _value(value: object) -> str:
    """A finding's before or after in a few words; long ones are cut, the report has them whole."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = ", ".join(_value(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    text = inert(text)
    return text if len(text) <= 160 else text[:157] + "..."


def _wrapped(text: str, width: int, first: str, following: str) -> list[str]:
    return wrap(
        text, width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def _command_lines(commands: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for key, text in (("reproduce", "reproduce this one:"), ("accept", "accept the change as the new baseline:")):
        if commands.get(key):
            lines += ["", text, f"  {inert(commands[key])}"]
    return lines
