"""index.html: a page that makes no request, needs no script, and runs no script but its own.

It holds the hundred exports that matter most; further ones are on pages of their own beside it (``exports-2.html``, …).

Every ``{{ value }}`` of the templates is made inert and then escaped (Jinja2 autoescape), whatever it is; the
Content-Security-Policy allows exactly the page's own style and script, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.report import shipped, views
from pytest_htp.report.headline import attention_words, headline
from pytest_htp.report.model import by_severity, needs_attention
from pytest_htp.report.names import Key, key_of, under_labels
from pytest_htp.report.result import ExportResult, Report
from pytest_htp.report.text import NAME_LIMIT, duration, inert, message_lines, number, percent, size
from pytest_htp.report.tree import TreeNode, build_tree, limit_rows
from pytest_htp.report.treemap import HEIGHT, WIDTH, treemap
from pytest_htp.text import plural

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {
    "breaking": "✖",
    "regression": "▼",
    "drift": "≈",
    "improvement": "▲",
    "info": "i",
    "unchanged": "=",
    "open": "?",
}
ROW_LIMIT = 250  # module rows of one export on the page (about 70 kB); report.json has all of them
FINDING_LIMIT = 200  # findings of one export on the page; report.json has all of them
# Exports of one page: 1.5 MB, which a browser lays out within a second (2,000 on one page: 31 MB, 59 s).
PAGE_SIZE = 100
INCOMPLETE_LIMIT = 50  # tests without an export on the page; report.json has all of them
# From here on the browser draws only the exports that are in view, and a screenshot of the whole page only those.
MANY = 50
_TEXT_LIMIT = 20_000  # longest single value on the page; commands need room, an error message may be long


def render_pages(report: Report) -> Iterator[tuple[str, str]]:
    """File name and text of each page: ``index.html`` with the most severe exports, then ``exports-2.html``."""
    count = max(1, math.ceil(len(report.exports) / PAGE_SIZE))
    names = ["index.html", *(f"exports-{number}.html" for number in range(2, count + 1))]
    named = zip(report.exports, under_labels(report.exports), strict=True)
    shown = {key_of(result): other for result, other in named}
    ordered = by_severity(report.exports)
    style, script = _asset("style.css"), _asset("script.js")
    context = {
        "report": report,
        "headline": headline(report),
        "attention_words": attention_words(report),
        "counts": views.verdict_counts(report.exports),
        "environment": flatten_environment(report.environment),
        "style": style,
        "script": script,
        "policy": (
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        "pages": names,
    }
    template = _environment().get_template("index.html.j2")
    for page, name in enumerate(names, 1):
        here = ordered[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        exports = [_export_view(result, shown[key_of(result)]) for result in here]
        elsewhere = _index(ordered, shown, names) if page == 1 < count else []
        text = template.render(context, page=page, exports=exports, elsewhere=elsewhere)
        exports.clear()  # Jinja2's contexts are cycles, which would keep all of this until a search finds them
        # U+2028 and lone surrogates were made visible by ``inert``; the rest is valid UTF-8.
        yield name, text


def _index(
    ordered: Sequence[ExportResult], shown: Mapping[Key, ExportResult], names: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Every export of a report of many pages by name: link, name, file, verdict."""
    rows = []
    for place, result in enumerate(ordered):
        named, target = shown[key_of(result)], names[place // PAGE_SIZE]
        link = f"{target if target != names[0] else ''}#{views.anchor(result)}"
        rows.append((link, named.name, named.file or "", views.shown_verdict(result)))
    return sorted(rows, key=lambda row: (row[1], row[2]))


def render_tree(result: ExportResult) -> str:
    """The module tree alone, as an HTML fragment; empty where the export has no record."""
    tree = build_tree(result)
    if tree is None:
        return ""
    limit_rows(tree, ROW_LIMIT)
    return _environment().get_template("fragment.html.j2").render(tree=tree, findings=result.findings)


def _export_view(result: ExportResult, named: ExportResult) -> dict[str, object]:
    """``named``: the same under the name that it is shown by."""
    from pytest_htp.report.console import console_html

    tree = build_tree(result)
    maps = []
    if tree is not None:
        maps = [
            ("nodes", "nodes", treemap(tree, lambda node: node.nodes)),
            ("bytes", "weights", treemap(tree, lambda node: node.bytes)),
            ("operations", "floating-point operations", treemap(tree, shipped.own_flops(tree))),
        ]
        limit_rows(tree, ROW_LIMIT)
    return {
        "result": named,
        "id": views.anchor(result),
        "model": views.model_class(result),
        "record": result.current,
        "attention": needs_attention(result),
        "error_lines": message_lines(result.error.message or "", _TEXT_LIMIT) if result.error else [],
        "verdict": views.shown_verdict(result),
        "kind": views.verdict_kind(result),
        "accept": result.accept_command(),
        "accept_title": views.accept_title(result),
        "states": views.state_words(result),
        "nodes_change": views.nodes_change(result),
        "bytes_change": views.bytes_change(result),
        "coverage": views.coverage_view(result),
        "attestation": result.attested,
        "attested_change": views.attested_change(result),
        "parity": views.parity_view(result),
        "stages": shipped.stages_view(result),
        "journey": shipped.modules_view(result),
        "quality": shipped.quality_view(result),
        "targets": shipped.targets_view(result),
        "cost": shipped.cost_view(result),
        "steps": views.steps_view(result),
        "contract": views.contract_view(result),
        "toolchain": views.toolchain_view(result),
        "artifacts": views.artifacts_link(result),
        "tree": tree,
        "maps": maps,
        "console": console_html(result.console_html, result.console),
    }


def row_changes(node: TreeNode) -> list[tuple[str, str, str]]:
    """What differs between a module's two rows, as (what, before, now)."""
    row, before = node.row, node.before
    if row is None or before is None or node.status != "changed":
        return []
    changes: list[tuple[str, str, str]] = []
    if node.count_before is not None:
        changes.append(("modules", f"{node.count_before}", f"{node.count}"))
    for key, title in (("class_name", "class"), ("calls", "calls"), ("nodes", "nodes")):
        then, now = getattr(before, key), getattr(row, key)
        if now != then:
            changes.append((title, views.value_text(then), views.value_text(now)))
    for key, title in (("ops", "operators"), ("dtypes", "value types"), ("weights", "weight bytes")):
        old, new = views.histogram_changes(getattr(row, key), getattr(before, key))
        if old or new:
            changes.append((title, old, new))
    if not changes and row.fingerprint != before.fingerprint:
        changes.append(("structure (same operators, other wiring)", str(before.fingerprint), str(row.fingerprint)))
    return changes


def flatten_environment(environment: Mapping[str, object]) -> list[tuple[str, str]]:
    """``{"python": …, "toolchain": {"torch": …}}`` as (name, value) pairs."""
    pairs: list[tuple[str, str]] = []
    for name, value in sorted(environment.items()):
        if isinstance(value, Mapping):
            pairs.extend((str(key), str(item)) for key, item in sorted(value.items()))
        else:
            pairs.append((str(name), str(value)))
    return pairs


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    environment.filters.update(
        num=number,
        pct=percent,
        size=size,
        seconds=duration,
        name=lambda text: inert(str(text), NAME_LIMIT),
        value=views.value_text,
        step_words=views.step_words,
        histogram=views.histogram,
    )
    environment.globals.update(
        symbols=SYMBOLS,
        finding_limit=FINDING_LIMIT,
        incomplete_limit=INCOMPLETE_LIMIT,
        many=MANY,
        row_changes=row_changes,
        plural=plural,
        map_width=WIDTH,
        map_height=HEIGHT,
    )
    return environment


def _finalize(value: object) -> object:
    """Make every plain string inert; ``Markup`` (ours) passes."""
    if type(value) is not str or (len(value) < _TEXT_LIMIT and value.isprintable()):
        return value
    return inert(value, _TEXT_LIMIT)


@lru_cache(maxsize=2)
def _asset(name: str) -> Markup:
    from markupsafe import Markup

    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # a file of ours


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
