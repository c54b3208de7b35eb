"""Where rich is used: styled lines of a fixed width, printed, kept as plain text, and exported as HTML.

The only module of the monitor, besides the live display, that imports rich; nothing imports it before a
console writer is made.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTH = 80  # columns; fixed, so that the log of an export is the same wherever it was made

# A dark panel of its own colours, legible (contrast >= 4.5) on light and dark pages alike.
_BACKGROUND, _FOREGROUND = (13, 17, 23), (230, 237, 243)
_COLOURS = [
    (139, 148, 158),  # black, which would be invisible on this background
    (255, 123, 114),  # red
    (86, 211, 100),  # green
    (227, 179, 65),  # yellow
    (121, 192, 255),  # blue
    (210, 168, 255),  # magenta
    (57, 197, 207),  # cyan
    (230, 237, 243),  # white
]
_PANEL = (
    '<pre class="htp-console" style="background:#0d1117;color:#e6edf3;padding:1em;overflow-x:auto;'
    'line-height:1.4">{code}</pre>'
)

STYLES = {
    "title": "bold",
    "number": "bold cyan",
    "label": "",
    "path": "bold",
    "class": "magenta",
    "lead": "bright_black",
    "note": "italic",
    "rule": "bright_black",
    "completed": "green",
    "skipped": "yellow",
    "failed": "bold red",
    "running": "cyan",
    "pending": "bright_black",
}

# rich repeats each colour for underlines, which the log has none of. The quote can't stem from escaped text.
_DECORATION = re.compile(r'(style="[^"]*?); text-decoration-color: #[0-9a-f]{6}')

Parts = Sequence[tuple[str, str]]


class Canvas:
    """Styled lines, at most :data:`WIDTH` columns each."""

    def __init__(self, style_numbers: bool) -> None:
        self._styles = STYLES if style_numbers else {**STYLES, "number": ""}
        self._measure = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        self._lines: list[Text] = []

    def draw(self, parts: Parts) -> list[Text]:
        """(text, role) parts as one line, folded where it is too wide. Names must be inert already."""
        line = Text.assemble(*((text, self._styles.get(role, "")) for text, role in parts))
        if line.cell_len <= WIDTH:
            return [line]
        return list(line.wrap(self._measure, WIDTH, overflow="fold"))

    def keep(self, lines: Iterable[Text]) -> None:
        """Add lines to what :meth:`text` and :meth:`html` give."""
        self._lines.extend(lines)

    def text(self) -> str:
        """Everything kept, without styles; each line ends with a line feed."""
        return "".join(f"{line.plain.rstrip()}\n" for line in self._lines)

    def html(self) -> str:
        """Everything kept as one ``<pre>`` element, escaped, with inline styles."""
        recorder = Console(file=io.StringIO(), record=True, width=WIDTH, color_system="truecolor", legacy_windows=False)
        recorder.print(joined(self._lines), highlight=False)
        theme = TerminalTheme(_BACKGROUND, _FOREGROUND, _COLOURS, _COLOURS)
        html = recorder.export_html(theme=theme, inline_styles=True, code_format=_PANEL)
        return _DECORATION.sub(r"\1", html)


def joined(lines: Iterable[Text]) -> Text:
    """The lines as one text."""
    return Text("\n").join(lines)
