"""Tensors described by strings: ``int64[batch=2, seq=16]``, ``float32[batch=2, 3, 32, 32]``.

Grammar::

    spec = dtype "[" [ dim *( "," dim ) ] "]"
    dim  = size | name [ "=" size ]            ; a name makes the axis dynamic, its size is the example's

Imports no torch, so that manifests can be checked without it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from pytest_htp.errors import HTPUsageError

DTYPES = (
    "bool",
    *("uint8", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
    *("complex64", "complex128"),
)
DEFAULT_SIZES = {"batch": 2}
"""Example size of a named axis without one; any other name has ``DEFAULT_SIZE``."""
DEFAULT_SIZE = 8
MAX_ELEMENTS = 2**28
MAX_RANK = 16

_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<size>\d+)|(?P<mark>[\[\],=]))", re.ASCII)


@dataclass(frozen=True)
class TensorSpec:
    """Element type (torch's name), example shape, and per axis the name that makes it dynamic, or None."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str | None, ...]

    @property
    def dynamic_axes(self) -> dict[int, str]:
        """Axis → name, of the axes that have one."""
        return {axis: name for axis, name in enumerate(self.names) if name is not None}


def looks_like_spec(text: str) -> bool:
    """Whether a string is meant as a spec, right or wrong, rather than as a string argument."""
    return "[" in text or "]" in text or text.strip() in DTYPES


def parse_spec(text: str) -> TensorSpec:
    """Read a spec.

    Raises:
        HTPUsageError: it does not fit the grammar; the message points at the place.
    """
    reader = _Reader(text)
    dtype = reader.take("name", "an element type")
    if dtype not in DTYPES:
        reader.fail(f"unknown element type {dtype!r}, known are {', '.join(DTYPES)}", at=reader.last)
    reader.take("mark", "'['", "[")
    shape: list[int] = []
    names: list[str | None] = []
    while reader.peek() != "]":
        if shape:
            reader.take("mark", "',' or ']'", ",")
        size, name = _dimension(reader)
        if name is not None and dict(zip(names, shape, strict=True)).get(name, size) != size:
            reader.fail(f"axis {name!r} has two sizes", at=reader.last)
        shape.append(size)
        names.append(name)
    reader.take("mark", "']'", "]")
    reader.end()
    if len(shape) > MAX_RANK:
        reader.fail(f"{len(shape)} axes are too many, at most {MAX_RANK}", at=0)
    if math.prod(shape) > MAX_ELEMENTS:
        reader.fail(f"{math.prod(shape)} elements are too many for an example, at most {MAX_ELEMENTS}", at=0)
    return TensorSpec(dtype, tuple(shape), tuple(names))


def _dimension(reader: _Reader) -> tuple[int, str | None]:
    if (reader.peek() or "").isdigit():
        return _size(reader), None
    name = reader.take("name", "a size or the name of an axis")
    if reader.peek() != "=":
        return DEFAULT_SIZES.get(name, DEFAULT_SIZE), name
    reader.take("mark", "'='", "=")
    size = _size(reader)
    if size < 2:
        # torch.export takes a dimension of 0 or 1 for a constant whatever is said about it.
        reader.fail(f"the dynamic axis {name!r} needs an example size of at least 2", at=reader.last)
    return size, name


def _size(reader: _Reader) -> int:
    digits = reader.take("size", "a size")
    if len(digits) > 12:
        reader.fail("a size of more than 12 digits", at=reader.last)
    return int(digits)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self.last = 0

    def peek(self) -> str | None:
        match = _TOKEN.match(self._text, self._position)
        return match.group().strip() if match else None

    def take(self, kind: str, expected: str, exact: str | None = None) -> str:
        match = _TOKEN.match(self._text, self._position)
        if match is None or match.lastgroup != kind or exact not in (None, match[kind]):
            rest = self._text[self._position :]
            at = self._position + len(rest) - len(rest.lstrip())
            self.fail(f"expected {expected}", at=at)
        self.last = match.start(kind)
        self._position = match.end()
        return str(match[kind])

    def end(self) -> None:
        if rest := self._text[self._position :].strip():
            self.fail(f"nothing may follow ']', got {rest[:20]!a}", at=self._position)

    def fail(self, problem: str, *, at: int) -> NoReturn:
        shown = self._text if len(self._text) <= 80 else self._text[:77] + "..."
        raise HTPUsageError(
            f"bad input description {shown!a}, at position {at + 1}: {problem}; write it like "
            "'int64[batch=2, seq=16]' or 'float32[batch=2, 3, 32, 32]'"
        )
