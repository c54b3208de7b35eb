"""JSON that any reader takes: no NaN, no infinity, no unpaired surrogate, whatever the values came from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import PurePath

_MAX_DEPTH = 32  # levels kept of a nested value; ours have at most five
_MAX_INTEGER_BITS = 1024  # beyond it Python itself refuses to print, and no reader takes the number


def clean(value: object, depth: int = 0) -> object:
    """``value`` in JSON's types. What JSON can't hold (NaN, infinities, unknown objects) becomes None."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MAX_INTEGER_BITS else None
    if isinstance(value, Enum):
        return clean(value.value, depth + 1)
    if isinstance(value, PurePath):
        return value.name
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {str(key): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((clean(item, depth + 1) for item in value), key=repr)
    item = getattr(value, "item", None)  # NumPy's scalars
    if callable(item) and getattr(value, "ndim", None) == 0:
        return clean(item(), depth + 1)
    return None


def dumps(value: object) -> str:
    """A cleaned value as JSON on one line, readable (not ASCII-escaped) where UTF-8 can write it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # an unpaired surrogate
        return json.dumps(value, allow_nan=False)
    return text


@lru_cache(maxsize=4096)  # tags and operator names repeat; bounded, so that memory is too
def quote(text: str) -> str:
    """One string as JSON."""
    return dumps(text)
