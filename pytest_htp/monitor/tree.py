"""The module tree as text, every name inert; shared by console (styled parts), reports and ``htp show``."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_htp.monitor.module_tree import ModuleTree, TreeLine
from pytest_htp.monitor.text import UNICODE, Symbols, safe, shorten
from pytest_htp.text import plural
from pytest_htp.vocabulary import EVIDENCE


def text_lines(
    tree: ModuleTree,
    *,
    max_depth: int | None = None,
    max_rows: int | None = None,
    symbols: Symbols = UNICODE,
    encoding: str = "utf-8",
    width: int | None = None,
) -> Iterator[str]:
    """The tree as plain lines, every name inert; ``width`` shortens long names in the middle."""
    for line in tree.lines(max_depth=max_depth, max_rows=max_rows, symbols=symbols):
        yield "".join(part for part, _ in line_parts(line, symbols, encoding, width))


def line_parts(
    line: TreeLine, symbols: Symbols = UNICODE, encoding: str = "utf-8", width: int | None = None
) -> list[tuple[str, str]]:
    """A line as (text, role) pairs; roles: ``lead``, ``path``, ``class``, ``number``, ``text``, ``note``."""
    if line.note:
        return [(line.note, "note")]
    tail: list[tuple[str, str]] = []
    if line.count > 1:
        tail += [(f" {symbols.times}", "text"), (f"{line.count:,}", "number")]
    if line.nodes is not None:
        tail += [(f" {symbols.separator} ", "text"), (f"{line.nodes:,}", "number")]
        tail.append((" node" if line.nodes == 1 else " nodes", "text"))
        tail.append((" each" if line.count > 1 else "", "text"))
        tail += _evidence_parts(line)
    tail += [(f" {symbols.separator} {safe(fact, encoding)}", "text") for fact in line.facts]
    if line.hidden:
        tail += [(f" (+{plural(line.hidden, 'module')} below)", "note")]
    path, class_name = safe(line.path, encoding), safe(line.class_name, encoding)
    if width is not None:
        room = max(width - len(line.lead) - sum(len(text) for text, _ in tail) - 1, 16)
        if len(path) + len(class_name) > room:
            path = shorten(path, max(room - len(class_name), room // 2), symbols.dots)
            class_name = shorten(class_name, max(room - len(path), room // 3), symbols.dots)
    named = [(path, "path"), (" " if path and class_name else "", "text"), (class_name, "class")]
    if not (path or class_name):
        named = [("(root)", "path")]
    return [part for part in ((line.lead, "lead"), *named, *tail) if part[0]]


def _evidence_parts(line: TreeLine) -> list[tuple[str, str]]:
    known = [(name, line.evidence[name]) for name in EVIDENCE if line.evidence.get(name)]
    if len(known) == 1 and known[0][1] == line.nodes:
        return [(f", {known[0][0]}", "text")]
    parts: list[tuple[str, str]] = []
    for position, (name, number) in enumerate(known):
        parts += [(", " if position else ": ", "text"), (f"{number:,}", "number"), (f" {name}", "text")]
    return parts
