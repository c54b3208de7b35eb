"""Is this object a record? Light checks by hand: every type that comparing and reporting rely on, and no
more.

The published JSON Schema (``schemas/baseline.schema.json``) says the same at length; tests hold the two
together.
Unknown extra keys are let through, so a later minor version may add some.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest_htp.errors import HTPUsageError

SCHEMA = "pytest-htp/baseline/1"
VERSION = 1
REMEDY = "re-record the baseline with --snapshot-update"
_PREFIX = "pytest-htp/baseline/"

_Check = Callable[[Any, str], None]
# Far beyond any model (a count of bytes fits in 63 bits); keeps arithmetic on hostile numbers cheap.
_LARGEST = 2**63 - 1


def validate_record(record: Any) -> None:
    """Raise HTPUsageError, naming the place, the expected type and the remedy, unless ``record`` is a
    record."""
    if not isinstance(record, dict):
        raise HTPUsageError(f'expected an export record (an object with "schema": "{SCHEMA}"), got {_kind(record)}')
    validate_schema(record.get("schema"))
    _RECORD(record, "")


def validate_schema(schema: Any) -> None:
    """Refuse another schema than ours, saying whether to update the package or to re-record."""
    if schema == SCHEMA:
        return
    if isinstance(schema, str) and schema.startswith(_PREFIX) and schema[len(_PREFIX) :].isdecimal():
        number = schema[len(_PREFIX) :][:9]
        if int(number) > VERSION:
            raise HTPUsageError(
                f"written with baseline schema {number}, newer than this pytest-htp reads ({VERSION}): "
                "update pytest-htp"
            )
        raise HTPUsageError(f"written with the outdated baseline schema {number}: re-record it with --snapshot-update")
    shown = f"its schema is {schema[:60]!r}" if isinstance(schema, str) else 'it has no "schema"'
    raise HTPUsageError(f"not a pytest-htp baseline: {shown}, expected {SCHEMA!r}")


def _fail(where: str, expected: str, value: Any) -> None:
    raise HTPUsageError(f"{where or 'the record'} must be {expected}, got {_kind(value)}: {REMEDY}")


def _kind(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:40]
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        _fail(where, "a string", value)


def _boolean(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, "true or false", value)


def _count(value: Any, where: str) -> None:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        _fail(where, "a whole number from 0", value)


def _step(value: Any, where: str) -> None:
    if type(value) is not int or not 1 <= value <= _LARGEST:
        _fail(where, "a whole number from 1", value)


def _percent(value: Any, where: str) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not 0 <= value <= 100
    ):
        _fail(where, "a percentage from 0 to 100", value)


def _decade(value: Any, where: str) -> None:
    if not isinstance(value, str) or len(value) > 40:
        _fail(where, 'a decade like "1e-05"', value)
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if math.isnan(number) or number < 0:
        _fail(where, 'a decade like "1e-05" (or "inf")', value)


def _dim(value: Any, where: str) -> None:
    if value is not None and not isinstance(value, str):
        _count(value, where)


def _optional(check: _Check) -> _Check:
    def run(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return run


def _keys_are_text(value: Mapping[Any, Any], where: str) -> None:
    for key in value:
        if not isinstance(key, str):
            _fail(f"a key of {where or 'the record'}", "a string", key)


def _list(check: _Check) -> _Check:
    def run(value: Any, where: str) -> None:
        if not isinstance(value, list):
            _fail(where, "a list", value)
        for position, item in enumerate(value):
            check(item, f"{where}[{position}]" if position < 1000 else where)

    return run


def _table(check: _Check) -> _Check:
    """An object with free keys: a histogram, a map of versions."""

    def run(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fail(where, "an object", value)
        _keys_are_text(value, where)
        for item in value.values():
            check(item, where)

    return run


def _object(required: Mapping[str, _Check], optional: Mapping[str, _Check] | None = None) -> _Check:
    def run(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fail(where, "an object", value)
        _keys_are_text(value, where)
        for key, check in required.items():
            place = f"{where}.{key}" if where else key
            if key not in value:
                raise HTPUsageError(f"{place} is missing: {REMEDY}")
            check(value[key], place)
        for key, check in (optional or {}).items():
            if key in value:
                check(value[key], f"{where}.{key}" if where else key)

    return run


def _measured(required: Mapping[str, _Check], optional: Mapping[str, _Check] | None = None) -> _Check:
    """``{"measured": true, …}`` or ``{"measured": false, "reason": …}``."""
    full, absent = (
        _object({"measured": _boolean, **required}, optional or {}),
        _object({"measured": _boolean}, {"reason": _text}),
    )

    def run(value: Any, where: str) -> None:
        (full if isinstance(value, dict) and value.get("measured") is not False else absent)(value, where)

    return run


_HISTOGRAM = _table(_count)
_TENSOR = _object(
    {"name": _text, "dtype": _optional(_text), "dims": _optional(_list(_dim))},
    {"named": _boolean, "module": _text, "every": _step},
)
_STORED = _object({"count": _count, "bytes": _count, "dtypes": _HISTOGRAM})
_DUPLICATE = _object({"names": _list(_text), "bytes": _count}, {"copies": _count})
_PARITY_OUTPUT = _object({"name": _text, "max_abs": _optional(_decade), "max_rel": _optional(_decade)})
_MODULE = _object(
    {
        "path": _text, "class": _text, "calls": _count, "nodes": _count, "ops": _HISTOGRAM,
        "dtypes": _HISTOGRAM, "evidence": _HISTOGRAM, "weights": _HISTOGRAM, "fingerprint": _optional(_text),
    }
)  # fmt: skip


def _module(row: Any, where: str) -> None:
    """``_MODULE`` in a hurry: there may be 30,000 rows. Whatever looks odd is checked again for a proper
    message."""
    if type(row) is dict:
        get = row.get
        counts = get("calls"), get("nodes")
        if (
            type(get("path")) is type(get("class")) is str
            and type(get("fingerprint", 0)) in (str, type(None))
            and type(counts[0]) is type(counts[1]) is int
            and 0 <= counts[0] <= _LARGEST
            and 0 <= counts[1] <= _LARGEST
        ):
            for name in ("ops", "dtypes", "evidence", "weights"):
                histogram = get(name)
                if type(histogram) is not dict:
                    break
                for key, count in histogram.items():
                    if type(count) is not int or not 0 <= count <= _LARGEST or type(key) is not str:
                        break
                else:
                    continue
                break
            else:
                return
    _MODULE(row, where)


_RECORD = _object(
    {
        "schema": _text,
        "model": _object(
            {"class": _text},
            {"exporter": _optional(_text), "modules": _count, "executed": _count, "parameters": _count},
        ),
        "toolchain": _table(_text),
        "opset": _table(_count),
        "inputs": _list(_TENSOR),
        "outputs": _list(_TENSOR),
        "graph": _object({"nodes": _count}, {"functions": _count, "subgraphs": _count}),
        "weights": _object(
            {
                "parameters": _STORED,
                "initializers": _STORED,
                "tied": _list(_list(_text)),
                "duplicates": _optional(_list(_DUPLICATE)),
            },
            {"tied_apart": _list(_list(_text))},
        ),
        "coverage": _object(
            {
                "total_nodes": _count, "direct": _count, "fused": _count, "inferred": _count, "none": _count,
                "coverage": _percent, "direct_coverage": _percent, "root_share": _percent,
            }
        ),
        "attestation": _measured(
            {
                "attested": _count,
                "contradicted": _list(_text),
                "unmatched": _list(_object({"module": _text}, {"reason": _text})),
            }
        ),
        "parity": _measured(
            {
                "outputs": _list(_PARITY_OUTPUT),
                "first_divergence": _optional(_text),
                "failed": _list(_text),
            },
            {"failed_on": _list(_text), "divergence": _text},
        ),
        "modules": _list(_module),
        "untagged": _object({"nodes": _count, "ops": _HISTOGRAM}),
    }
)  # fmt: skip
