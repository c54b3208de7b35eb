"""The canonical text of a record: what a baseline file holds, and the same bytes on every machine.

UTF-8, LF, keys sorted, a final newline. A row is one line, so a changed module is one changed line: below the top level
only an object that holds lists or objects is broken up, and lists are one item a line. A stage's record, and whatever
else in a list holds rows of its own, is written like a record within the record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.record import GraphRecord, Record, StageRecord

# Printable in no editor, able to reorder what a reviewer sees (bidirectional marks), or not encodable (surrogates).
_HIDDEN = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")

# What a measured section says even where it holds its default: "none were contradicted" is a finding as well.
_ALWAYS = {
    "attestation": ("attested", "contradicted", "unmatched"),
    "parity": ("outputs", "first_divergence", "failed"),
}


def dict_of(record: Record | StageRecord) -> dict[str, Any]:
    """A record, an export's or a stage's, as JSON values: what ``HTPExport.record`` and ``HTPStage.record`` are;
    :func:`~pytest_htp.format.read.record_of` takes the first.
    """
    values: dict[str, Any] = msgspec.to_builtins(record)
    _complete(values, record)
    if isinstance(record, Record):
        for described, stage in zip(values.get("stages", ()), record.stages, strict=True):
            _complete(described, stage)
    return values


def _complete(values: dict[str, Any], graph: GraphRecord) -> None:
    for section, names in _ALWAYS.items():
        row = getattr(graph, section)
        if row.measured:
            values[section].update({name: msgspec.to_builtins(getattr(row, name)) for name in names})


def dumps(record: Record | Mapping[str, object]) -> str:
    """Canonical text of a record.

    Raises:
        HTPUsageError: a value JSON can't hold exactly (NaN, infinity, a key that is no string, another type).
    """
    if isinstance(record, Record):
        values: Mapping[str, object] = dict_of(record)
    else:
        values = record
        _check(values, "record")
    try:
        text = _write(values) + "\n"
    except ValueError:  # a number that is not finite: all that the types of a record admit beside JSON
        _check(values, "record")
        raise
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _write(value: object, level: int = 0, indent: str = "") -> str:
    """``level`` counts from the record that the value is in, ``indent`` is that of its line."""
    inner = indent + "  "
    if isinstance(value, Mapping) and value and (level == 0 or (level == 1 and _holds_containers(value))):
        lines = [f"{inner}{_line(key)}: {_write(value[key], level + 1, inner)}" for key in sorted(value)]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and value and level in (1, 2):
        items = [_write(item, 0, inner) if _holds_rows(item) else _line(item) for item in value]
        return "[\n" + ",\n".join(inner + item for item in items) + f"\n{indent}]"
    return _line(value)


def _holds_containers(value: Mapping[str, object]) -> bool:
    return any(isinstance(item, (Mapping, list, tuple)) for item in value.values())


def _holds_rows(value: object) -> bool:
    lists = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(items, (list, tuple)) and items and isinstance(items[0], Mapping) for items in lists)


_line: Callable[[object], str] = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode


def _check(value: object, where: str) -> None:
    """Refuse what ``json`` would write as something else: it turns keys into strings and writes NaN."""
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise HTPUsageError(
                f"{where} is {value!r}; a record holds finite numbers, or null for what was not measured"
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise HTPUsageError(f"{where} has the key {key!r}; keys of a record are strings")
            _check(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _check(item, f"{where}[{position}]")
    else:
        raise HTPUsageError(
            f"{where} is a {type(value).__name__}; a record holds only objects, lists, strings, numbers, booleans, null"
        )
