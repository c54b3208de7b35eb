"""Words and numbers as every writer prints them: inert names, units, symbols and plain substitutes.

Imports nothing heavy, so terminals, text files and reports can share it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_htp.text import inert


@dataclass(frozen=True, slots=True)
class Symbols:
    """The characters a text is drawn with."""

    tick: str
    cross: str
    skipped: str
    pending: str
    rule: str
    branch: str
    last: str
    pipe: str
    dots: str
    separator: str
    times: str


UNICODE = Symbols("✓", "✗", "○", "·", "─", "├─ ", "└─ ", "│  ", "…", "·", "×")
PLAIN = Symbols("+", "x", "o", ".", "-", "|- ", "`- ", "|  ", "...", "|", "x")


def can_encode(text: str, encoding: str) -> bool:
    """Whether a stream of this encoding (unknown ones count as ASCII) can write ``text``."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:
        return text.isascii()
    return True


def symbols_for(encoding: str) -> Symbols:
    """Drawing characters that a stream of this encoding can write."""
    drawn = "".join(getattr(UNICODE, name) for name in Symbols.__slots__)
    return UNICODE if can_encode(drawn, encoding) else PLAIN


def safe(text: object, encoding: str = "utf-8") -> str:
    """``text`` on one line, without effect on any terminal, and writable in ``encoding``.

    Characters that print nothing of their own (controls, ANSI's escape, line breaks, right-to-left marks, lone
    surrogates) and characters the encoding lacks become backslash escapes, so nothing is lost or acted upon.
    """
    word = inert(text if isinstance(text, str) else str(text))
    if word.isascii() or can_encode(word, encoding):
        return word
    try:
        return word.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        return word.encode("ascii", "backslashreplace").decode("ascii")


def cells(text: str) -> int:
    """Terminal columns that ``text`` (already :func:`safe`) takes, as rich counts them, which wraps lines."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # rich is imported where something is drawn

    return cell_len(text)


def shorten(text: str, width: int, dots: str = "…") -> str:
    """``text`` in at most ``width`` columns (at least those of ``dots``), its middle cut out."""
    if cells(text) <= width:
        return text
    room = max(width - cells(dots), 0)
    return _take(text, (room + 1) // 2) + dots + _take(text[::-1], room // 2)[::-1]


def _take(text: str, width: int) -> str:
    taken, used = 0, 0
    for char in text:
        used += cells(char)
        if used > width:
            break
        taken += 1
    return text[:taken]


def seconds(value: float) -> str:
    """A duration given in seconds: ``0.12 s``, ``12.3 s``, ``2 min 03 s``."""
    if not math.isfinite(value):
        return "not measured"
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"
