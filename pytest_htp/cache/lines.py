"""Lines of the user's code by function and operation: they are found again where the file has moved on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import CodeType

Sources = dict[str, dict[str, str]]


def anchored(sources: Mapping[str, Mapping[str, str]], codes: Mapping[str, CodeType]) -> Sources:
    """Each ``file.py:line`` as ``module:function@offset``; a line of no known function is left out."""
    places = {
        (Path(code.co_filename).name, line): f"{name}@{start}"
        for name, code in codes.items()
        for start, line in _starts(code)
    }
    return _each(sources, lambda text: places.get(_split(text)))


def as_of_today(sources: Mapping[str, Mapping[str, str]], codes: Mapping[str, CodeType], project: Path) -> Sources:
    """The other way round: lines as they are now, relative to ``project``; of files outside of it none."""

    def line_of(text: str) -> str | None:
        name, _, offset = text.rpartition("@")
        code = codes.get(name)
        if code is None or not offset.isdecimal():
            return None
        line = dict(_starts(code)).get(int(offset))
        file = Path(code.co_filename)
        if line is None or not file.is_relative_to(project):
            return None
        return f"{file.relative_to(project).as_posix()}:{line}"

    return _each(sources, line_of)


def _each(sources: Mapping[str, Mapping[str, str]], change: object) -> Sources:
    assert callable(change)
    changed = {
        module: {operator: new for operator, text in lines.items() if (new := change(text)) is not None}
        for module, lines in sources.items()
    }
    return {module: lines for module, lines in changed.items() if lines}


def _starts(code: CodeType) -> list[tuple[int, int]]:
    """Offset of the first operation of each line, and the line."""
    first: dict[int, int] = {}
    for start, _, line in code.co_lines():
        if line is not None:
            first.setdefault(line, start)
    return [(start, line) for line, start in first.items()]


def _split(text: str) -> tuple[str, int]:
    file, _, line = text.rpartition(":")
    return Path(file).name, int(line) if line.isdecimal() else 0
