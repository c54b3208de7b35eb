"""Extras for pytest-html 4: the module tree and the console log under each test."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from pytest_htp.report import views
from pytest_htp.report.console import console_html
from pytest_htp.report.html import render_tree
from pytest_htp.report.result import ExportResult
from pytest_htp.report.text import MESSAGE_LIMIT, NAME_LIMIT, inert


def html_extras(results: Iterable[ExportResult]) -> list[object]:
    """Entries to append to ``report.extras``; empty where pytest-html is not installed.

    They are plain JSON, so they survive xdist. The caller checks first that pytest-html will write a page.
    """
    try:
        extras = import_module("pytest_html.extras")
    except ImportError:
        return []
    return [extras.html(_fragment(result)) for result in results]


def _fragment(result: ExportResult) -> str:
    from markupsafe import Markup

    parts = [Markup("<div class='htp'><p><strong>ONNX export: {}</strong></p>").format(views.shown_verdict(result))]
    if result.findings:
        items = Markup("").join(
            Markup("<li>{} <code>{}</code> {}: {}</li>").format(
                item.verdict,
                views.finding_words(item),
                inert(item.module or "", NAME_LIMIT),
                inert(item.message, MESSAGE_LIMIT),
            )
            for item in result.findings[:50]
        )
        parts.append(Markup("<ul>{}</ul>").format(items))
    parts.append(Markup(render_tree(result)))  # the template's own, escaped output
    console = console_html(None, result.console or "")
    if console:
        parts.append(Markup("<details><summary>Console log</summary><pre>{}</pre></details>").format(console))
    parts.append(Markup("</div>"))
    return str(Markup("").join(parts))
