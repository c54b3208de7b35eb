"""summary.md: what a reviewer reads on the pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_htp.report import views
from pytest_htp.report.headline import attention_words, headline
from pytest_htp.report.model import by_severity, needs_attention
from pytest_htp.report.names import under_labels
from pytest_htp.report.result import ExportResult, Report
from pytest_htp.report.text import MESSAGE_LIMIT, NAME_LIMIT, duration, inert, message_lines, number, size
from pytest_htp.text import markdown, plural, references

MARKER = "<!-- pytest-htp report -->"  # lets a bot find its earlier comment and replace it
SUMMARY_LIMIT = 900 * 1024  # bytes of UTF-8
_HEADER = "\n| verdict | export | nodes | weights | coverage | parity | time |\n|---|---|--:|--:|--:|--:|--:|\n"
_FINDINGS_LIMIT = 50  # per export
_INCOMPLETE_LIMIT = 20
_COMMAND_LIMIT = 4_000
_ICONS = {
    "breaking": "❌",
    "regression": "🔻",
    "drift": "🔀",
    "improvement": "🔺",
    "info": "ℹ️",
    "unchanged": "✅",
    "open": "❔",  # nothing was compared
}


def render_markdown(report: Report, *, limit: int = SUMMARY_LIMIT) -> str:
    """The summary's text, at most ``limit`` bytes of UTF-8; what did not fit is named at its end."""
    exports = by_severity(under_labels(report.exports))
    changed = [result for result in exports if needs_attention(result)]
    room = limit - 600  # for the closing note
    parts = [MARKER, "\n", verdict_line(report), "\n"]
    parts += [f"\n> ⚠️ {text(note)}\n" for note in report.notes[:20]]
    parts.append(_incomplete(report))
    parts.append(_toolchain_line(changed))
    room -= _bytes("".join(parts))
    left_out = []

    table, omitted_rows = _fit(_rows(exports), int(room * 0.4) if changed else room)
    if table:
        parts.append(_HEADER + "".join(table))
        room -= _bytes(parts[-1])
    if omitted_rows:
        left_out.append(f"{plural(omitted_rows, 'row')} of the table")
    details, omitted = _fit((_details(result) for result in changed), room)
    if omitted:  # a short section says more than none
        room -= _bytes("".join(details))
        rest = changed[len(details) :]
        short, omitted = _fit((_details(result, short=True) for result in rest), room)
        shortened = len(changed) - len(details) - omitted
        details += short
        if shortened:
            left_out.append(f"most of the findings of {plural(shortened, 'export')}")
        if omitted:
            left_out.append(f"the details of {plural(omitted, 'export')}")
    parts += details
    if left_out:
        parts.append(
            f"\nLeft out to stay under {limit // 1024:,} KiB: {'; '.join(left_out)}. "
            "All of it is in `index.html` and `report.json`.\n"
        )
    return "".join(parts)


def verdict_line(report: Report) -> str:
    """One line: the headline, and how many exports stand where."""
    top = headline(report)
    counts = views.verdict_counts(report.exports)
    parts = [attention_words(report)]
    if counts:
        parts.append(", ".join(f"{count} {word}" for word, count in counts.items()))
    return f"### {_ICONS[top.kind]} ONNX exports: {top.word}\n\n{' · '.join(parts)}\n"


def _incomplete(report: Report) -> str:
    """The tests that have no export to show, one line each."""
    entries = report.incomplete
    lines = [
        f"- **{entry.outcome}** {code(entry.nodeid or 'the run')}: {text(entry.message)}\n"
        for entry in entries[:_INCOMPLETE_LIMIT]
    ]
    if len(entries) > len(lines):
        lines.append(f"- … and {len(entries) - len(lines):,} more in `report.json`\n")
    return "\n" + "".join(lines) if lines else ""


def _fit(chunks: Iterable[str], room: int) -> tuple[list[str], int]:
    """The chunks that fit into ``room`` bytes, in order, and how many did not."""
    taken: list[str] = []
    omitted = 0
    for chunk in chunks:
        room -= _bytes(chunk)
        if room < 0 or omitted:
            omitted += 1
        else:
            taken.append(chunk)
    return taken, omitted


def _rows(exports: Iterable[ExportResult]) -> Iterable[str]:
    for result in exports:
        verdict = f"{_icon(result)} {views.shown_verdict(result)}"
        if states := views.state_words(result):
            verdict += "<br>" + text(", ".join(states))
        model = views.model_class(result)
        cells = (
            verdict,
            code(result.name) + (f"<br>{code(model)}" if model else ""),
            _with(number(result.nodes), views.nodes_change(result)),
            _with(size(result.bytes), views.bytes_change(result)),
            _with(*views.coverage_words(result)),
            text(views.worst_difference(result)),
            "cached" if result.cached else duration(result.seconds),
        )
        yield f"| {' | '.join(cells)} |\n"


def _icon(result: ExportResult) -> str:
    return _ICONS[views.verdict_kind(result)]


def _with(value: str, delta: str) -> str:
    return f"{value} ({delta})" if delta else value


def _toolchain_line(changed: Iterable[ExportResult]) -> str:
    """The toolchain changes of all exports, once: the likely cause is worth a line of its own."""
    changes = {
        f"{name} {before} → {after}": None
        for result in changed
        for name, before, after, differs in views.toolchain_view(result)
        if differs and not name.startswith("opset ")
    }
    if not changes:
        return ""
    shown = list(changes)[:12]
    more = f" and {len(changes) - len(shown)} more" if len(changes) > len(shown) else ""
    return f"\n**Toolchain:** {', '.join(code(change) for change in shown)}{more}\n"


def _details(result: ExportResult, *, short: bool = False) -> str:
    findings = result.findings
    count = plural(len(findings), "finding")
    lines = [
        "",
        "<details>",
        f"<summary>{_icon(result)} {views.shown_verdict(result)}: {code(result.name)}, {count}</summary>",
        "",
    ]
    if result.error:
        error = result.error
        step = views.step_words(error)
        message = "<br>".join(text(line) for line in message_lines(error.message or ""))
        lines += [f"Failed at {text(step)}: {code(str(error.type))} {message}", ""]
    shown = findings[: 3 if short else _FINDINGS_LIMIT]
    for item in shown:
        module = f" {code(item.module or '(root)')}" if item.module is not None else ""
        stage = f" [{code(item.stage)}]" if item.stage else ""
        lines.append(f"- **{item.verdict}** `{item.code}`{stage}{module}: {text(item.message)}")
        if not short and (item.before is not None or item.after is not None):
            before, after = views.value_text(item.before), views.value_text(item.after)
            lines.append(f"  <br>{code(before)} → {code(after)}")
    if len(findings) > len(shown):
        lines.append(f"- … and {plural(len(findings) - len(shown), 'finding')} more in `index.html`")
    lines += ["", *_commands(result), "</details>", ""]
    return "\n".join(lines)


def _commands(result: ExportResult) -> list[str]:
    reproduce = result.commands.reproduce
    lines = []
    for title, command in (("Reproduce", reproduce), (views.accept_title(result), result.accept_command())):
        if command and len(command) <= _COMMAND_LIMIT:
            shown = inert(command)
            longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
            fence = "`" * max(3, longest + 1)
            lines += [f"{title}:", f"{fence}sh", shown, fence, ""]
    return lines


def text(value: str) -> str:
    """Prose that renders as ``value``: no markup, link or mention, one line; never put first in a line."""
    return markdown(inert(value, MESSAGE_LIMIT))


def code(value: str) -> str:
    """A name in ``<code>``, where GitHub links nothing (backticks can't hold a pipe in a table)."""
    return f"<code>{references(inert(value, NAME_LIMIT))}</code>"


def _bytes(value: str) -> int:
    return len(value.encode("utf-8"))
