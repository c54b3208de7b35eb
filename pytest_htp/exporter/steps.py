"""Run the eight steps: measure each, tell the monitor, and turn a failure into one clear error."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.exporter.place import Place
from pytest_htp.exporter.remedies import explain
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

# Loggers through which the exporters talk to a terminal; what they say goes into the step's notes instead.
_EXPORTER_LOGGERS = ("torch.onnx", "torch.export", "transformers.exporters", "onnxscript", "onnx_ir")
# torch's structured trace: hundreds of records at DEBUG that pytest, which puts its handler on this logger too, would
# show with every failing test. torch itself writes it only where TORCH_TRACE names a folder.
_TRACE_LOGGER = "torch.__trace"
_MAX_NOTES = 20
# Said by torch in every export: its progress, and operators that the model does not use.
_KNOWN_NOISE = re.compile(
    r"torchvision is not installed|Failed to infer the signature for function|isinstance\(treespec, LeafSpec\)"
    r"|^\[torch\.onnx\] (Obtain|Run decompositions|Translate|Optimize|Check)[^❌]*$"
)

StepListener = Callable[[HTPExportStep, HTPExportData], None]


class StepRunner:
    """Keeps ``data.steps`` up to date while steps run.

    Args:
        data: filled in place.
        on_start: called when a step begins (a progress display).
        on_done: called when a step is complete (the monitor).
    """

    def __init__(
        self, data: HTPExportData, *, on_start: StepListener | None = None, on_done: StepListener | None = None
    ) -> None:
        self.data = data
        self.current: HTPExportStep | None = None
        self._started = time.perf_counter()
        self._notes: list[str] = []
        self._on_start = on_start
        self._on_done = on_done

    def start(self, step: HTPExportStep) -> None:
        """Begin a step; the one before must be finished."""
        self.current, self._started, self._notes = step, time.perf_counter(), []
        if self._on_start is not None:
            self._on_start(step, self.data)

    def finish(self) -> None:
        """Complete the current step and tell the monitor."""
        assert self.current is not None
        step, self.current = self.current, None
        self._close(step, "completed")
        if self._on_done is not None:
            self._on_done(step, self.data)

    def fail(self, error: BaseException, place: Place | None = None, fake: str | None = None) -> HTPExportError | None:
        """Mark the current step failed and the later ones skipped; the error to raise (None for an interrupt).

        ``place`` and ``fake`` as :func:`explain` takes them.
        """
        step = self.current or self._next()
        self.current = None
        self._close(step, "failed")
        for later in list(HTPExportStep)[step.number :]:
            self.data.steps.setdefault(later.value, {"status": "skipped", "seconds": 0.0})
        if not isinstance(error, Exception):
            return None
        message = explain(step, self.data.model_name, error, inputs=self.data.inputs, place=place, fake=fake)
        return HTPExportError(message, step=step, cause=error, data=self.data)

    def return_to(self, step: HTPExportStep) -> None:
        """An earlier step turns out to be the one that failed: those after it count as not begun."""
        entry = self.data.steps[step.value]
        for later in list(HTPExportStep)[step.number - 1 :]:
            self.data.steps.pop(later.value, None)
        self.current, self._started = step, time.perf_counter() - entry["seconds"]
        self._notes = list(entry.get("notes", ()))

    def _next(self) -> HTPExportStep:
        """The step that something between two steps belongs to."""
        return next((step for step in HTPExportStep if step.value not in self.data.steps), HTPExportStep.COMPLETE)

    def note(self, text: str) -> None:
        """Keep one line for the step's notes; repeats and floods are dropped."""
        line = " ".join(text.split())
        if _KNOWN_NOISE.search(line):
            return
        if line and line not in self._notes and len(self._notes) < _MAX_NOTES:
            self._notes.append(line[:500])

    def _close(self, step: HTPExportStep, status: str) -> None:
        entry: dict[str, object] = {"status": status, "seconds": time.perf_counter() - self._started}
        if self._notes:
            entry["notes"] = list(self._notes)
        self.data.steps[step.value] = entry

    @contextmanager
    def step(self, step: HTPExportStep) -> Iterator[None]:
        """One step as a block; leave a failure to :meth:`fail`."""
        self.start(step)
        yield
        self.finish()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch what exporters print, warn and log while the block runs, as notes of the step that was running."""
        handler = _NoteHandler(self)
        loggers = [logging.getLogger(name) for name in _EXPORTER_LOGGERS]
        trace = logging.getLogger(_TRACE_LOGGER)
        before = [(logger, logger.propagate, logger.handlers[:]) for logger in (*loggers, trace)]
        for logger in loggers:
            logger.propagate, logger.handlers = False, [handler]
        if not os.environ.get("TORCH_TRACE"):
            trace.propagate, trace.handlers = False, []
        # transformers names some loggers by file; without any handler those would print to stderr.
        logging.root.addHandler(handler)
        printed = StringIO()
        try:
            with warnings.catch_warnings(), redirect_stdout(printed):
                warnings.simplefilter("always")
                warnings.showwarning = lambda message, category, *rest, **more: self.note(
                    f"{category.__name__}: {message}"
                )
                yield
        finally:
            logging.root.removeHandler(handler)
            for logger, propagate, handlers in before:
                logger.propagate, logger.handlers = propagate, handlers
            for line in printed.getvalue().splitlines():
                self.note(line)


class _NoteHandler(logging.Handler):
    def __init__(self, runner: StepRunner) -> None:
        super().__init__(logging.WARNING)
        self._runner = runner

    def emit(self, record: logging.LogRecord) -> None:
        self._runner.note(record.getMessage())


def refused_path(path: Path) -> HTPExportError:
    """The error for an output path that names no file; no step was begun."""
    cause = HTPUsageError(f"output_path must name a file, like 'exports/model.onnx'; {str(path)!r} is a folder")
    steps: Mapping[str, dict[str, object]] = {
        step.value: {"status": "failed" if step is HTPExportStep.SAVE else "skipped", "seconds": 0.0}
        for step in HTPExportStep
    }
    error = {"step": HTPExportStep.SAVE.value, "type": "HTPUsageError", "message": str(cause)}
    data = HTPExportData(output_path=str(path), steps=dict(steps), errors=[error])
    step = HTPExportStep.SAVE
    return HTPExportError(
        f"export refused, step {step.number}/8 ({step.title}) can't work: {cause}", step=step, cause=cause, data=data
    )
