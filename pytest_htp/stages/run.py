"""Run one stage: time it, keep what it says, and turn whatever goes wrong into one message."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError
from pytest_htp.stages.stage import BUILT_IN, Stage, name_of

if TYPE_CHECKING:  # which needs onnxruntime
    from pytest_htp.stages.built_in import Feed

_MAX_NOTES = 20
# Said by the quantizers of every model.
_KNOWN_NOISE = re.compile(r"Please consider (to run )?pre-processing before quantization")


class StageFailure(Exception):
    """A stage raised, or left no file or no valid one.

    Attributes:
        stage: its name.
        seconds: how long it ran.
        notes: what it printed and warned of.
    """

    def __init__(self, stage: str, message: str, *, seconds: float = 0.0, notes: Sequence[str] = ()) -> None:
        super().__init__(stage, message)
        self.message = message
        self.stage, self.seconds, self.notes = stage, seconds, list(notes)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class StageRun:
    """A stage that left a valid file. ``notes``: lines that it printed, logged and warned of."""

    seconds: float
    notes: list[str] = field(default_factory=list)


def run_stage(
    stage: str | Stage,
    source: Path,
    destination: Path,
    *,
    calibration: Sequence[Feed] = (),
    extensions: Sequence[str] = (),
    structure_only: bool = False,
) -> StageRun:
    """Make ``destination`` of ``source``.

    Args:
        stage: a built-in one's name, or the user's own.
        source: the ``.onnx`` file to read.
        destination: the one to write.
        calibration: input name → array, one mapping per sample (used by ``int8:qdq``).
        extensions: paths of libraries that register operators of other domains with ONNX Runtime (used by ``ort:*``).
        structure_only: neither file has weights.

    Raises:
        StageFailure: with one message; whatever was written is removed.
    """
    name = name_of(stage)
    started = time.perf_counter()
    notes: list[str] = []
    try:
        with _listening(notes):
            if isinstance(stage, Stage):
                stage.function(source, destination)
            else:
                _built_in(stage, source, destination, calibration, extensions)
            seconds = time.perf_counter() - started
            _check(destination, notes, structure_only=structure_only)
    except (Exception, SystemExit) as error:
        _remove(destination)
        raise StageFailure(
            name, f"stage {name} failed: {_words(error)}", seconds=time.perf_counter() - started, notes=notes
        ) from error
    return StageRun(seconds, notes)


def _built_in(
    name: str, source: Path, destination: Path, calibration: Sequence[Feed], extensions: Sequence[str]
) -> None:
    try:
        module = import_module("pytest_htp.stages.built_in")
    except ImportError as error:
        raise HTPUsageError(
            f"{BUILT_IN[name]} needs the package {error.name or 'onnxruntime'!r}, which is not installed: "
            "pip install 'pytest-htp[stages]'"
        ) from error
    module.run(name, source, destination, calibration, extensions)


def _check(path: Path, notes: list[str], *, structure_only: bool) -> None:
    import onnx

    from pytest_htp.capture.valid import check_model

    if not path.is_file() or not path.stat().st_size:
        wrote = "an empty file" if path.is_file() else "no file"
        raise HTPUsageError(f"it wrote {wrote}; a stage must write the new model to its second argument ({path.name})")
    try:
        try:
            check_model(path, structure_only=structure_only)
        except onnx.shape_inference.InferenceError:
            # A converter that leaves operators in float writes down half precision for their values all the same.
            # Runtimes go by the operators; what is annotated is left out if it alone is wrong.
            model = onnx.load(path, load_external_data=False)
            del model.graph.value_info[:]
            onnx.save(model, path)
            check_model(path, structure_only=structure_only)
            _note(notes, "types written down for values inside of the graph contradict its operators: left out")
    except Exception as error:
        raise HTPUsageError(f"it wrote an invalid model: {_words(error)}") from error


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    if isinstance(error, HTPUsageError):
        return text
    words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if error.__cause__ is None:
        return words
    cause = _words(error.__cause__)
    return words if cause in words else f"{words}, because of {cause}"


def _remove(path: Path) -> None:
    for file in (path, path.with_name(f"{path.name}.data")):
        file.unlink(missing_ok=True)


@contextmanager
def _listening(notes: list[str]) -> Iterator[None]:
    """Keep what is printed, logged and warned while a stage runs; none of it reaches the terminal."""
    printed = StringIO()
    handler = _Notes(notes)
    root = logging.root
    handlers, root.handlers = root.handlers, [handler]
    try:
        with warnings.catch_warnings(), redirect_stdout(printed), redirect_stderr(printed):
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, category, *rest, **more: _note(
                notes, f"{category.__name__}: {message}"
            )
            yield
    finally:
        root.handlers = handlers
        for line in printed.getvalue().splitlines():
            _note(notes, line)


class _Notes(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        _note(self._notes, record.getMessage())


def _note(notes: list[str], text: str) -> None:
    line = " ".join(text.split())[:500]
    if line and line not in notes and not _KNOWN_NOISE.match(line) and len(notes) < _MAX_NOTES:
        notes.append(line)
