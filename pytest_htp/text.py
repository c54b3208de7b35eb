"""Words and numbers of messages, and names made inert for terminals and Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

# What Markdown, GFM's autolinks, GitHub's shortcodes and maths, or HTML give a meaning within a line; a
# numeric reference never has one. An underscore inside a word has none, and most names are full of them.
_SPECIAL = re.compile(r"[&<>`*\[\]#|~@$\\:]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=www)\.", re.IGNORECASE)
_PINGS = re.compile(r"[@#](?=\w)")  # @user and #123: a reference does not stop those, a zero-width space does

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


def size(count: float) -> str:
    """Bytes in decimal units: ``512 bytes``, ``17.5 MB``."""
    if count < 1000:
        return plural(round(count), "byte")
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:,.1f} TB"


def plural(count: int, noun: str) -> str:
    """``1 node``, ``1,024 nodes``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def some(words: Sequence[str], most: int, *, between: str = ", ", rest: str = " and {} more") -> str:
    """The first ones of several, and how many more there are: ``a, b and 3 more``."""
    left = len(words) - most
    return between.join(words[:most]) + (rest.format(left) if left > 0 else "")


def percent(value: float) -> str:
    """``96.77%``; only a full 100 is written ``100%``."""
    if not math.isfinite(value):
        return "not measured"
    shown = f"{min(value, 99.99) if value < 100 else value:.2f}".rstrip("0").rstrip(".")
    return f"{shown}%"


def without_ansi(text: str) -> str:
    """``text`` without the codes that colour it on a terminal, which mean nothing elsewhere."""
    return _ANSI.sub("", text)


def inert(text: str, keep: str = "") -> str:
    r"""``text`` without effect on a terminal: what prints nothing of its own becomes an escape (``\x1b``).

    That is control, bidirectional, zero-width and unassigned characters, line breaks too, but for those in ``keep``.
    """
    judged = text
    for char in keep:
        judged = judged.replace(char, "")
    if judged.isprintable():
        return text
    hidden = [char for char in set(judged) if not char.isprintable()]
    return text.translate({ord(char): char.encode("unicode_escape").decode("ascii") for char in hidden})


def markdown(text: str) -> str:
    """Prose that renders as ``text``: inert, no markup, link or mention, one line; never put first in a line."""
    return references(_PINGS.sub(lambda match: match[0] + "\u200b", inert(text)))


def references(text: str) -> str:
    """``text`` with numeric references for all that has a meaning in Markdown or HTML."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)
