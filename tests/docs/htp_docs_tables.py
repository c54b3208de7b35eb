"""Tables of the reference pages, made from the code they describe, so that they can't drift."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

from pytest_htp import plugin
from pytest_htp.cli import COMMANDS
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.vocabulary import HTPExportStep

_TABLE = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n)(?P<content>.*?)(<!-- end -->)", re.DOTALL)


def tables_of(text: str) -> Iterator[tuple[str, str]]:
    """``(name, content)`` of every generated table in a page."""
    for match in _TABLE.finditer(text):
        yield match["name"], match["content"]


def update_tables(page: Path) -> None:
    """Write the generated tables anew."""
    text = page.read_text(encoding="utf-8")
    new = _TABLE.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}{match[4]}", text)
    if new != text:
        page.write_text(new, encoding="utf-8")


class _Parser:
    """Takes what ``pytest_addoption`` declares."""

    def __init__(self) -> None:
        self.options: list[tuple[str, dict[str, Any]]] = []
        self.ini: list[tuple[str, str, dict[str, Any]]] = []

    def getgroup(self, name: str, description: str = "") -> _Parser:
        return self

    def addoption(self, name: str, **attributes: Any) -> None:
        self.options.append((name, attributes))

    def addini(self, name: str, help: str, **attributes: Any) -> None:
        self.ini.append((name, help, attributes))


def _declared() -> _Parser:
    parser = _Parser()
    plugin.pytest_addoption(parser)  # type: ignore[arg-type]
    return parser


def command_line() -> str:
    rows = []
    for name, attributes in _declared().options:
        value = attributes.get("metavar")
        if value is not None:
            name += f"[={value}]" if attributes.get("nargs") == "?" else f"={value}"
        rows.append((f"`{name}`", attributes["help"]))
    return _table(("option", "meaning"), rows)


def ini() -> str:
    rows = []
    for name, text, attributes in _declared().ini:
        default = attributes.get("default")
        if isinstance(default, bool):
            default = str(default).lower()
        rows.append((f"`{name}`", f"`{default}`" if default else "", text))
    return _table(("ini", "default", "meaning"), rows)


def export_options() -> str:
    documentation = inspect.getdoc(ExportOptions) or ""
    attributes = documentation.partition("Attributes:\n")[2].partition("\n\n")[0]
    meaning: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w)", f"\n{attributes}"):
        names, _, text = entry.strip().partition(": ")
        if names:
            text = re.sub(r":\w+:(`[\w.]+`)", r"\1", text).replace("``", "`")
            meaning |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    rows = [(f"`{item.name}`", f"`{item.default!r}`", meaning[item.name]) for item in fields(ExportOptions)]
    return _table(("option", "default", "meaning"), rows)


def steps() -> str:
    rows = [(str(step.number), f"`{step.name}`", f"`{step.value}`") for step in HTPExportStep]
    return _table(("number", "step", "value"), rows)


def commands() -> str:
    parser = argparse.ArgumentParser(prog="htp")
    subparsers = parser.add_subparsers()
    with mock.patch.dict("os.environ", {"COLUMNS": "200", "NO_COLOR": "1"}):
        for command in COMMANDS:
            command.add_parser(subparsers)
        rows = []
        for choice in subparsers._choices_actions:
            usage = " ".join(subparsers.choices[choice.dest].format_usage().removeprefix("usage: ").split())
            rows.append((f"`{usage.replace(' [-h]', '')}`", choice.help or ""))
    return _table(("command", "what it does"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "command-line": command_line,
    "ini": ini,
    "export-options": export_options,
    "steps": steps,
    "commands": commands,
}
