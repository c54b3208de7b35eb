"""Where in a TOML text a key stands: ``tomllib`` gives values without their places."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

Path = tuple[str, ...]

_HEADER = re.compile(r"^\s*\[(?P<array>\[)?(?P<name>[^\[\]].*)\](?(array)\])\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?P<key>(?:[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


class Lines:
    """Line numbers, from 1, of the tables and keys of a TOML text.

    Keys of inline tables stand where their table does. Of an array of tables, and where text inside a multi-line string
    is taken for a key, what comes first wins.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        table: Path = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = _path(header["name"]) or table
                self._add(table, number)
            elif key := _KEY.match(line):
                self._add((*table, *_path(key["key"])), number)

    def _add(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)

    def of(self, path: Sequence[str]) -> int:
        """The line of a key, or of the nearest table or key around it that has one; 1 for the file."""
        for length in range(len(path), 0, -1):
            if (number := self._lines.get(tuple(path[:length]))) is not None:
                return number
        return 1


def _path(dotted: str) -> Path:
    """``export."a.b".inputs`` as its parts; empty where it is no key."""
    try:
        parsed = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    return tuple(_chain(parsed))


def _chain(value: object) -> Iterator[str]:
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        yield name
