"""A manifest's text as exports to test. All that can be wrong without torch is found here, with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from pytest_htp.errors import HTPUsageError
from pytest_htp.manifest.keys import (
    FURTHER_INPUTS,
    GATES,
    INPUT_SETS,
    KEYS,
    MODELS,
    OPTIONS,
    check_input,
    check_name,
    check_value,
    shown,
    unknown,
)
from pytest_htp.manifest.lines import Lines
from pytest_htp.manifest.models import ModelReference, find_model

SUFFIX = ".htp.toml"
MAX_BYTES = 1 << 20
MAX_ITEMS = 1000
"""Bytes of a manifest, and items of one matrix: beyond these it is a mistake."""


@dataclass(frozen=True)
class ManifestExport:
    """One test item.

    Attributes:
        name: of the table, with ``[option=value-…]`` for an item of a matrix.
        line: of the table's header, from 1.
        model: what ``model`` names.
        reference: what ``reference`` names.
        inputs: input name → description or value; None to have them made.
        options: of the export, and ``min_coverage``, ``fail_on`` and ``quality_tolerance`` where given.
        marks: names of marks.
        generation: whether the components of generation are exported instead of the whole.
    """

    name: str
    line: int
    model: ModelReference
    reference: ModelReference | None = None
    inputs: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    generation: bool = False


def read_manifest(path: Path, shown_path: str) -> list[ManifestExport]:
    """Read and check a manifest, which messages call ``shown_path``.

    Raises:
        HTPUsageError: all problems, one a line, each with file and line.
    """
    text = _read(path, shown_path)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = re.search(r"\(at line (\d+), column \d+\)$", str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        raise HTPUsageError(f"{shown_path}:{line}: not valid TOML: {error}") from None
    reader = _Reader(document, Lines(text), path.parent)
    exports = list(reader.exports())
    if reader.problems:
        raise HTPUsageError("\n".join(f"{shown_path}:{line}: {problem}" for line, problem in sorted(reader.problems)))
    return exports


def _read(path: Path, shown_path: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HTPUsageError(f"{shown_path}: can't be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise HTPUsageError(f"{shown_path}: {len(content):,} bytes are too many for a manifest")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise HTPUsageError(f"{shown_path}:{line}: not UTF-8; save the file as UTF-8") from None


class _Reader:
    """Collects problems as ``(line, message)`` instead of stopping at the first."""

    def __init__(self, document: Mapping[str, object], lines: Lines, folder: Path) -> None:
        self._document = document
        self._lines = lines
        self._folder = folder
        self.problems: list[tuple[int, str]] = []

    def _problem(self, path: tuple[str, ...], message: str | None) -> bool:
        if message is not None:
            self.problems.append((self._lines.of(path), message))
        return message is not None

    def exports(self) -> Iterator[ManifestExport]:
        for name in self._document:
            if name != "export":
                self._problem((name,), unknown("unknown table or key", name, ("export",)))
        tables = self._document.get("export")
        if not isinstance(tables, Mapping) or not tables:
            if not self.problems:  # a misspelt "exports" says it better
                self._problem(("export",), "no [export.NAME] table: each of them is one test")
            return
        for name, table in tables.items():
            path = ("export", name)
            if self._problem(path, check_name(name)):
                continue
            if not isinstance(table, Mapping):
                self._problem(path, f"export.{name} must be a table, got {shown(table)}")
            elif (export := self._export(name, table)) is not None:
                yield from self._items(export, table)

    def _export(self, name: str, table: Mapping[str, Any]) -> ManifestExport | None:
        path = ("export", name)
        before = len(self.problems)
        for key, value in table.items():
            if key not in KEYS:
                self._problem((*path, key), unknown(f"export.{name} has an unknown key", key, tuple(KEYS)))
            else:
                self._problem((*path, key), check_value(key, KEYS[key], value))
        inputs = table.get("inputs")
        self._check_inputs((*path, "inputs"), inputs)
        for key in FURTHER_INPUTS:
            for given in table.get(key, ()) if INPUT_SETS.accepts(table.get(key)) else ():
                self._check_inputs((*path, key), given)
        if "model" not in table:
            self._problem(path, f"export.{name} has no model: a saved model's folder, or 'module:factory'")
        if len(self.problems) > before:
            return None
        models = {}
        for key in MODELS.keys() & table.keys():
            try:
                models[key] = find_model(table[key], self._folder, key)
            except HTPUsageError as error:
                self._problem((*path, key), str(error))
        if len(models) < len(MODELS.keys() & table.keys()):
            return None
        return ManifestExport(
            name=name,
            line=self._lines.of(path),
            model=models["model"],
            reference=models.get("reference"),
            inputs=dict(inputs) if inputs is not None else None,
            options={key: table[key] for key in (*OPTIONS, *FURTHER_INPUTS, *GATES, "stages") if key in table},
            marks=tuple(table.get("marks", ())),
            generation=table.get("generation", False),
        )

    def _check_inputs(self, path: tuple[str, ...], inputs: object) -> None:
        for name, value in (inputs if isinstance(inputs, Mapping) else {}).items():
            self._problem((*path, name), check_input(name, value))

    def _items(self, export: ManifestExport, table: Mapping[str, Any]) -> Iterator[ManifestExport]:
        matrix = table.get("matrix")
        if matrix is None:
            yield export
            return
        path = ("export", export.name, "matrix")
        before = len(self.problems)
        if not matrix:
            self._problem(path, "matrix has no options: give each a list of values, such as dynamic = [true, false]")
        total = 1
        for key, values in matrix.items():
            if self._problem((*path, key), self._wrong_axis(key, values, table)):
                continue
            total *= len(values)
        if total > MAX_ITEMS:
            self._problem(path, f"matrix gives {total:,} tests, at most {MAX_ITEMS:,}")
        if len(self.problems) > before:
            return
        for values in product(*matrix.values()):
            chosen = dict(zip(matrix, values, strict=True))
            suffix = "-".join(f"{key}={value}" for key, value in chosen.items())
            yield replace(export, name=f"{export.name}[{suffix}]", options={**export.options, **chosen})

    @staticmethod
    def _wrong_axis(key: str, values: object, table: Mapping[str, object]) -> str | None:
        if key not in OPTIONS:
            return unknown("matrix has an unknown option", key, tuple(OPTIONS))
        if key in table:
            return f"{key} stands in the matrix and beside it: keep one"
        if not isinstance(values, list) or not values:
            return f"matrix.{key} must be a list of values, got {shown(values)}"
        for value in values:
            if (problem := check_value(f"each value of matrix.{key}", OPTIONS[key], value)) is not None:
                return problem
        if len({str(value) for value in values}) < len(values):
            return f"matrix.{key} has a value twice: {shown(values)}"
        return None
