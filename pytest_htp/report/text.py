"""Making other people's text inert, and numbers readable.

Class, module, file and test names come from models and may hold anything: markup, terminal escapes,
right-to-left marks, thousands of characters. Every output of this package passes through :func:`inert` first;
what remains is the quoting of the output's own format (Jinja2 for HTML, ``markdown.py``, ``github.py``).
"""

from __future__ import annotations

from pytest_htp import text as words

NAME_LIMIT = 160  # characters of a name that are shown; report.json keeps all of them
MESSAGE_LIMIT = 2_000

_ELLIPSIS = "…"


def inert(text: str, limit: int | None = None, *, newlines: bool = False) -> str:
    r"""``text`` with control, bidirectional, zero-width and unassigned characters made visible (``\\x1b``).

    Longer text than ``limit`` characters loses its middle, since both ends of a path identify it; with ``newlines``,
    ``\\n`` and ``\\t`` stay as they are (a log).
    """
    shown = text if limit is None else shorten(text, limit)
    return words.inert(shown, keep="\n\t" if newlines else "")


def message_lines(text: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """The lines of an error's message of at most ``limit`` characters, each inert and without colours."""
    return [inert(line) for line in shorten(words.without_ansi(text), limit).splitlines()]


def shorten(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` (>= 3) characters, an ellipsis in place of its middle."""
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - 1 - head
    return text[:head] + _ELLIPSIS + (text[-tail:] if tail else "")


def number(value: float | int | None) -> str:
    """``1,234``; an en dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def percent(value: float | None) -> str:
    """``98.92%``; 100% is written only when nothing is missing (99.999 reads 99.99%)."""
    return "–" if value is None else words.percent(value)


def size(value: int | None) -> str:
    """Bytes in decimal units: ``17.5 MB``."""
    if value is None:
        return "–"
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB"


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``3 min 20 s``; below 10 ms in milliseconds."""
    if seconds is None:
        return "–"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def signed(value: float | int, unit: str = "") -> str:
    """``+12``, ``−1.08`` (a real minus sign); ``±0`` for no change."""
    if not value:
        return "±0"
    sign = "+" if value > 0 else "−"
    value = abs(value)
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{sign}{shown}{unit}"
