"""A live line for long exports: which of the eight steps of which model is running, and for how long."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import IO, TYPE_CHECKING

from pytest_htp.monitor.text import safe, shorten, symbols_for
from pytest_htp.monitor.writer import StepAwareWriter
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_REFRESH_PER_SECOND = 2


class LiveProgress(StepAwareWriter):
    """Draws ``step 4/8 model tracing · bert · 12 s`` on a terminal and takes it away again.

    Silent where it has no terminal, in CI (``CI`` set), on a dumb terminal, before :meth:`start` and after
    :meth:`stop`. No method raises because of the terminal. As a writer of a monitor it follows the steps by
    itself: a logged step is done, so the next one is shown; the last one, an error or the end stops it.

    Args:
        model_name: shown in the line.
        stream: the terminal to draw on, by default standard error; under pytest, one outside of its capture.
        column: where the cursor stands when the line appears (pytest's progress line); the live line then
            goes below, and the cursor back to that column when it is taken away.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        model_name: str = "",
        *,
        stream: IO[str] | None = None,
        column: Callable[[], int] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self._stream: IO[str] = stream or sys.stderr
        self._column = column
        self._left_at = 0
        self._clock = clock
        self._step = HTPExportStep.MODEL_PREP
        self._since = clock()
        self._live: Live | None = None

    @property
    def running(self) -> bool:
        """Whether a line is being drawn."""
        return self._live is not None

    def start(self, step: HTPExportStep = HTPExportStep.MODEL_PREP) -> None:
        """Begin to draw, where the terminal allows it. Does nothing when already drawing."""
        if self._live is not None:
            return
        self._step, self._since = step, self._clock()
        if not _allows_drawing(self._stream):
            return
        with suppress(Exception):  # a display must never fail an export
            self._live = self._open()

    def update(self, step: HTPExportStep, model_name: str | None = None) -> None:
        """Another step is running now; its time starts here."""
        if step is not self._step:
            self._step, self._since = step, self._clock()
        if model_name is not None:
            self.model_name = model_name

    def stop(self) -> None:
        """Take the line away. Does nothing when nothing is drawn."""
        live, self._live = self._live, None
        if live is None:
            return
        with suppress(Exception):
            live.stop()
        with suppress(Exception):
            if self._left_at:
                from rich.control import Control

                live.console.control(Control.move(0, -1), Control.move_to_column(self._left_at))

    def line(self) -> str:
        """The text of the line now, at most 79 columns."""
        encoding = getattr(self._stream, "encoding", None) or "ascii"
        symbols = symbols_for(encoding)
        elapsed = f"{max(self._clock() - self._since, 0):.0f} s"
        words = [f"step {self._step.number}/8 {self._step.title}", elapsed]
        if self.model_name:
            used = sum(map(len, words)) + 6
            words.insert(1, shorten(safe(self.model_name, encoding), 79 - used, symbols.dots))
        return f" {symbols.separator} ".join(words)

    def begin(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.update(step, data.model_name or None)

    def write(self, step: HTPExportStep, data: HTPExportData) -> None:
        super().write(step, data)
        if step.number == len(HTPExportStep):
            self.stop()
        else:
            self.update(list(HTPExportStep)[step.number], data.model_name or None)

    def write_error(self, step: HTPExportStep | None, error: dict[str, str], data: HTPExportData) -> None:
        super().write_error(step, error, data)
        if "writer" not in error:
            self.stop()

    def finish(self, data: HTPExportData) -> None:
        super().finish(data)
        self.stop()

    def __enter__(self) -> LiveProgress:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(self.line(), style="cyan", no_wrap=True, overflow="ellipsis")

    def _open(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        self._left_at = self._column() if self._column else 0
        if self._left_at:
            console.line()
        live = Live(
            self,
            console=console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live


def _allows_drawing(stream: IO[str]) -> bool:
    if os.environ.get("CI") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    try:
        return stream.isatty()
    except (AttributeError, OSError, ValueError):
        return False
