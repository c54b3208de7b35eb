"""Words and numbers of messages, and names made inert for terminals and Markdown."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~@&:-])")


def size(count: float) -> str:
    """Bytes in decimal units: ``512 bytes``, ``17.5 MB``."""
    if count < 1000:
        return f"{count:.0f} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:,.1f} TB"


def percent(value: float) -> str:
    """``96.77%``; only a full 100 is written ``100%``."""
    shown = f"{min(value, 99.99) if value < 100 else value:.2f}".rstrip("0").rstrip(".")
    return f"{shown}%"


def inert(text: str) -> str:
    """One line without effect on a terminal: every character that prints nothing of its own becomes an
    escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def markdown(text: str) -> str:
    """Inert text with all Markdown and HTML syntax escaped, mentions and links included."""
    return _MARKDOWN.sub(r"\\\1", inert(text)).replace("\\&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")
