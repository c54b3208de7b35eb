"""What a stage is, and which there are by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_htp.errors import HTPUsageError, suggestion

# Name → what it does, in the words of messages.
BUILT_IN = {
    "ort:basic": "ONNX Runtime's graph optimizations up to BASIC",
    "ort:extended": "ONNX Runtime's graph optimizations up to EXTENDED",
    "ort:all": "all of ONNX Runtime's graph optimizations",
    "fp16": "conversion to half precision",
    "int8:dynamic": "dynamic quantization",
    "int8:qdq": "static quantization (QDQ)",
}
CALIBRATED = "int8:qdq"


@dataclass(frozen=True)
class Stage:
    """A step of the user's own between the exported file and the one that ships.

    Args:
        name: how findings, reports and baselines call it.
        function: ``function(source, destination)`` reads the file at ``source`` and writes the new one to
            ``destination``; both are paths. What it raises or prints is reported.

    Raises:
        HTPUsageError: a name that is empty, a built-in stage's, or can't be printed; a function that can't be called.
    """

    name: str
    function: Callable[[Path, Path], object]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise HTPUsageError(f"a stage's name must be printable text, got {self.name!r}")
        if self.name in BUILT_IN:
            raise HTPUsageError(
                f"stage {self.name!r} is built in; give the Stage another name, or use stages=[{self.name!r}]"
            )
        if not callable(self.function):
            raise HTPUsageError(
                f"Stage({self.name!r}, …) needs a function of two paths (source, destination), "
                f"got {type(self.function).__name__}"
            )

    @property
    def slug(self) -> str:
        """The name as part of a file's name."""
        return slug(self.name)


def slug(name: str) -> str:
    """A stage's name as part of a file's name: ``ort:basic`` → ``ort-basic``."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "stage"


def resolve_stages(given: object) -> tuple[str | Stage, ...]:
    """The stages as given to ``stages=``, checked.

    Raises:
        HTPUsageError: not a list, an unknown name, or a name given twice; lists what is known.
    """
    if isinstance(given, (str, Stage)) or not isinstance(given, Iterable):
        raise HTPUsageError(f"option stages must be a list, like stages=['ort:extended'], got {given!r}")
    stages = tuple(given)
    known = ", ".join(map(repr, BUILT_IN))
    seen: set[str] = set()
    for stage in stages:
        name = stage.name if isinstance(stage, Stage) else stage
        if not isinstance(name, str) or (isinstance(stage, str) and name not in BUILT_IN):
            hint = suggestion(name, BUILT_IN)
            raise HTPUsageError(f"unknown stage {name!r}{hint}; known: {known}, or Stage(name, function)")
        if slug(name) in seen:
            raise HTPUsageError(
                f"stage {name!r} is given twice; a stage's results go by its name, so give the second one its own: "
                f"Stage(name, function). Known by name: {known}"
            )
        seen.add(slug(name))
    return stages


def name_of(stage: str | Stage) -> str:
    """A stage's name: given by itself, or by an object that has one."""
    return stage if isinstance(stage, str) else stage.name
