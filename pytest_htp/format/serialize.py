"""The canonical text of a record: what a baseline file holds, and the same bytes on every machine.

UTF-8, LF, keys sorted, one list item per line within the top two levels, a final newline. Below the top level
an object is one line unless it holds a list or object at the top; so a changed module is one changed line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pytest_htp.errors import HTPUsageError

# Printable in no editor, able to reorder what a reviewer sees (bidirectional marks), or not encodable
# (surrogates).
_HIDDEN = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def dumps(record: Mapping[str, Any]) -> str:
    """Canonical text of a record.

    Raises:
        HTPUsageError: a value JSON can't hold exactly (NaN, infinity, a key that is no string, another type).
    """
    _check(record, "record")
    text = _write(record, 0) + "\n"
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _write(value: Any, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping) and value and (depth == 0 or (depth == 1 and _holds_containers(value))):
        lines = [f"{inner}{_line(key)}: {_write(value[key], depth + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, (list, tuple)) and value and depth in (1, 2):
        return "[\n" + ",\n".join(inner + _line(item) for item in value) + f"\n{outer}]"
    return _line(value)


def _holds_containers(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, (Mapping, list, tuple)) for item in value.values())


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _check(value: Any, where: str) -> None:
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
