"""JSON from files that nobody vouches for: no NaN, no infinity, no key twice. For baselines and reports."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def strict_loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON (``json.JSONDecodeError``), or JSON that says nothing certain.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated[:60]!r} occurs twice in one object")
    return value
