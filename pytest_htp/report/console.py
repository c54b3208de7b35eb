"""A console log as HTML that needs no inline style and can hold no markup but ours.

rich's fragment carries ``style="color: #008000; …"``. Such a fragment may come from another machine's shard,
and its colours were chosen for one background. So it is never passed on: its text is unescaped and escaped
again, and each style becomes a class out of a fixed set, whose colours meet WCAG AA in light and dark.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape

from markupsafe import Markup, escape

from pytest_htp.report.text import inert
from pytest_htp.text import without_ansi

CONSOLE_LIMIT = 30_000  # characters of a log shown in the page; the whole log is among the artifacts

_TAG = re.compile(r"(<[^<>]*>)")
_MARKUP = re.compile("[&<>\"']")
_STYLE = re.compile(r"style=\"([^\"]*)\"")
_HEX = re.compile(r"#([0-9a-fA-F]{6})")


def console_html(fragment: str | None, plain: str) -> Markup:
    """The inside of a ``<pre>``, of rich's inline-styled HTML of a log, else of the same log as text."""
    if not fragment:
        return Markup(escape(inert(_cut(without_ansi(plain)), newlines=True)))
    parts: list[str] = []
    room = CONSOLE_LIMIT
    depth = 0
    for place, part in enumerate(_TAG.split(inert(fragment, newlines=True))):
        if place % 2 == 0:
            if _MARKUP.search(part):
                # A reference may stand for a control character, so what it says is made inert once more.
                part = str(escape(inert(unescape(part), newlines=True)))
            if len(part) > room:
                parts.append(_left_out())
                break
            room -= len(part)
            parts.append(part)
        elif part == "</span>":
            if depth:
                parts.append(part)
                depth -= 1
        elif part.startswith("<span"):
            parts.append(_opened(part))
            depth += 1
    parts.append("</span>" * depth)
    return Markup("".join(parts))


def _cut(text: str) -> str:
    return text if len(text) <= CONSOLE_LIMIT else text[:CONSOLE_LIMIT] + _left_out()


def _left_out() -> str:
    return "\n… the rest of the log is in the export's console file"


@lru_cache(maxsize=1_024)
def _opened(tag: str) -> str:
    """A ``<span …>`` with the classes that its style stands for, and nothing else."""
    style = _STYLE.search(tag)
    classes = _classes(style[1]) if style else ""
    return f'<span class="{classes}">' if classes else "<span>"


def _classes(style: str) -> str:
    """``color: #008000; font-weight: bold`` as ``cg cb``; whatever is not known is left out."""
    found = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "color" and (match := _HEX.fullmatch(value)):
            found.append(_hue(int(match[1], 16)))
        elif (name, value) == ("font-weight", "bold"):
            found.append("cb")
        elif (name, value) == ("font-style", "italic"):
            found.append("ci")
        elif name == "text-decoration" and value == "underline":
            found.append("cu")
    return " ".join(dict.fromkeys(name for name in found if name))


def _hue(colour: int) -> str:
    """The class of the terminal colour nearest to an RGB value; greys darker than white are dim (``cd``)."""
    red, green, blue = colour >> 16, colour >> 8 & 255, colour & 255
    high, low = max(red, green, blue), min(red, green, blue)
    if high - low < 40:
        return "cd" if 64 < high < 192 else ""
    middle = (high + low) / 2
    bits = (red > middle) << 2 | (green > middle) << 1 | (blue > middle)
    return {4: "cr", 2: "cg", 6: "cy", 1: "cl", 5: "cm", 3: "cc"}[bits]
