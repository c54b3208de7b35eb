"""The keys of an ``[export.NAME]`` table: which there are, and what each may hold. Imports no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from pytest_htp.capture.inputs.spec import parse_spec
from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.errors import HTPUsageError, suggestion
from pytest_htp.stages.stage import BUILT_IN
from pytest_htp.vocabulary import EngineName, OrtFusions, Weights

EXPORTERS = get_args(EngineName)
WEIGHTS = get_args(Weights)


@dataclass(frozen=True)
class Kind:
    """A kind of value: what it is called in messages, and whether a value is one."""

    expected: str
    accepts: Callable[[object], bool]


def _number(value: object, most: float = sys.float_info.max) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _one_of(choices: tuple[str, ...]) -> Kind:
    return Kind(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


TEXT = Kind("text", lambda value: isinstance(value, str) and bool(value.strip()))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
INTEGER = Kind("a whole number", lambda value: type(value) is int)
OPSET = Kind("a whole number from 7 to 100", lambda value: type(value) is int and 7 <= value <= 100)
TOLERANCE = Kind("a number of at least 0", _number)
PERCENT = Kind("a percentage from 0 to 100", lambda value: _number(value, 100))
TABLE = Kind("a table", lambda value: isinstance(value, Mapping))
TARGETS = Kind(
    "a list of targets like ['cpu', 'qnn'], or a table of their options",
    lambda value: (
        (isinstance(value, list) and all(isinstance(item, str) for item in value))
        or (isinstance(value, Mapping) and all(isinstance(item, Mapping) for item in value.values()))
    ),
)
NAMES = Kind(
    "a list of names",
    lambda value: isinstance(value, list) and all(isinstance(item, str) and item.isidentifier() for item in value),
)

INPUT_SETS = Kind(
    "a list of tables, each like inputs",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value),
)

OPTIONS = {
    "weights": _one_of(WEIGHTS),
    "dynamic": FLAG,
    "opset_version": OPSET,
    "exporter": _one_of(EXPORTERS),
    "optimize": FLAG,
    "ort_fusions": _one_of(get_args(OrtFusions)),
    "parity": FLAG,
    "rtol": TOLERANCE,
    "atol": TOLERANCE,
    "seed": INTEGER,
    "targets": TARGETS,
    "target_timeout": TOLERANCE,
}
"""Options of the export, by their names in Python; these can stand in a matrix."""

STAGES = Kind(
    f"a list of different stages among {', '.join(BUILT_IN)}",
    lambda value: isinstance(value, list) and all(name in BUILT_IN for name in value) and len(set(value)) == len(value),
)

GATES = {"min_coverage": PERCENT, "fail_on": _one_of(VERDICTS[:-1]), "quality_tolerance": TOLERANCE}

FURTHER_INPUTS = {"calibration": INPUT_SETS, "parity_inputs": INPUT_SETS}
"""Options that hold input sets beside ``inputs``."""

MODELS = {"model": TEXT, "reference": TEXT}
"""What names a model: what is exported, and the float twin of one that is quantized already."""

KEYS = {
    **MODELS,
    "inputs": TABLE,
    **FURTHER_INPUTS,
    **OPTIONS,
    "stages": STAGES,
    **GATES,
    "generation": FLAG,
    "marks": NAMES,
    "matrix": TABLE,
}

# What pytest, baselines and shells can show as it is; names like "org/model" included.
_NAME = re.compile(r"[\w][\w./-]*\Z")


def check_name(name: str) -> str | None:
    """What is wrong with the name of an export, or None."""
    if _NAME.match(name) and name.isprintable():
        return None
    return (
        f"the export name {name!a} can't be part of a test's id: use letters, digits, '_', '-', '.' and '/', "
        "such as [export.bert-tiny]"
    )


def check_value(key: str, kind: Kind, value: object) -> str | None:
    """What is wrong with a value, or None."""
    return None if kind.accepts(value) else f"{key} must be {kind.expected}, got {shown(value)}"


def check_input(name: str, value: object) -> str | None:
    """What is wrong with an input: text describes a tensor, an array is one, numbers and flags are passed as they
    are.
    """
    if isinstance(value, bool | int | float):
        return None
    if isinstance(value, list):
        even = _shape(value) is not None
        return None if even else f"input {name!a} must be an array of numbers whose rows are equally long"
    if not isinstance(value, str):
        return f"input {name!a} must be a description like 'int64[batch=2, seq=16]', got {shown(value)}"
    try:
        parse_spec(value)
    except HTPUsageError as error:
        return f"input {name!a}: {error}"
    return None


def _shape(value: object) -> tuple[int, ...] | None:
    """The shape of a nested array of numbers (or of flags), None where it has none."""
    if isinstance(value, bool | int | float):
        return ()
    if not isinstance(value, list):
        return None
    shapes = {_shape(item) for item in value}
    inner = shapes.pop() if len(shapes) == 1 else (None if shapes else ())
    return None if inner is None else (len(value), *inner)


def unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    """The message for a name that isn't known, with the nearest one that is."""
    hint = suggestion(name, known, ", did you mean {!r}?", cutoff=0.5)
    return f"{what} {name!a}{hint} (known: {', '.join(known)})"


def shown(value: object) -> str:
    """A short, printable form of a TOML value."""
    text = ("true" if value else "false") if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
