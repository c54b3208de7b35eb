"""Checking a report.json against its published schema, without a package for it.

Covers the keywords that ``schemas/report.schema.json`` uses; the tests compare it with the ``jsonschema``
package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.read import record_of
from pytest_htp.report.text import inert

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_IGNORED = {"$schema", "$defs", "title", "description"}
_SHOWN = 80  # characters of a wrong value


def check_report(report: Any) -> None:
    """Raise HTPUsageError, naming the place and what was expected, unless ``report`` fits the schema."""
    schema = _schema()
    _check(report, schema, schema["$defs"], "report")
    for position, export in enumerate(report["exports"]):
        for key in ("record", "before"):
            if export[key] is not None:
                try:
                    record_of(export[key])
                except HTPUsageError as error:
                    raise HTPUsageError(f"report.exports[{position}].{key}: {error}") from error


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    text = (files("pytest_htp") / "schemas" / "report.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _check(value: Any, schema: Any, definitions: Mapping[str, Any], where: str) -> None:
    if schema is True:
        return
    for keyword, wanted in schema.items():
        if keyword == "$ref":
            _check(value, definitions[wanted.rpartition("/")[2]], definitions, where)
        elif keyword == "anyOf":
            if not any(_fits(value, option, definitions, where) for option in wanted):
                _fail(value, where, "one of the kinds that the schema names")
        elif keyword in ("const", "enum"):
            known = [wanted] if keyword == "const" else wanted
            if value not in known:
                _fail(value, where, f"one of {', '.join(map(repr, known))}")
        elif keyword == "type":
            _check_type(value, [wanted] if isinstance(wanted, str) else wanted, where)
        elif keyword in ("minimum", "maximum"):
            if _is(value, "number") and (value < wanted if keyword == "minimum" else value > wanted):
                _fail(value, where, f"a {keyword} of {wanted}")
        elif isinstance(value, dict):
            _check_object(value, keyword, wanted, schema, definitions, where)
        elif keyword == "items" and isinstance(value, list):
            for position, item in enumerate(value):
                _check(item, wanted, definitions, f"{where}[{position}]")


def _check_object(
    value: dict[str, Any],
    keyword: str,
    wanted: Any,
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    where: str,
) -> None:
    if keyword == "required":
        for name in wanted:
            if name not in value:
                _fail(value, where, f"an object with {name!r}")
    elif keyword == "properties":
        for name, rule in wanted.items():
            if name in value:
                _check(value[name], rule, definitions, f"{where}.{name}")
    elif keyword == "propertyNames":
        for name in value:
            _check(name, wanted, definitions, f"a key of {where}")
    elif keyword == "additionalProperties":
        for name in value.keys() - schema.get("properties", {}).keys():
            if wanted is False:
                _fail(name, where, "no other key")
            _check(value[name], wanted, definitions, f"{where}.{name}")
    elif keyword not in _IGNORED and keyword != "items":
        raise NotImplementedError(f"schema keyword {keyword!r}")


def _is(value: Any, kind: str) -> bool:
    # bool is an int to Python, not to JSON.
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _check_type(value: Any, kinds: list[str], where: str) -> None:
    if not any(_is(value, kind) for kind in kinds):
        _fail(value, where, " or ".join(kinds))


def _fits(value: Any, schema: Any, definitions: Mapping[str, Any], where: str) -> bool:
    try:
        _check(value, schema, definitions, where)
    except HTPUsageError:
        return False
    return True


def _fail(value: Any, where: str, expected: str) -> None:
    raise HTPUsageError(f"{inert(where, 200)}: expected {expected}, found {inert(repr(value), _SHOWN)}")
