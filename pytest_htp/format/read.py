"""The one way from data to a typed :class:`~pytest_htp.format.record.Record`: edition, migration, types, bounds.

Records come from files in pull requests, so nothing is trusted: every way one can be wrong ends in an HTPUsageError
that names the place, what was expected and the remedy. Unknown keys are let through: a later version may add some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.migrate import EDITION, STEPS
from pytest_htp.format.record import SCHEMA, Record

T = TypeVar("T")
REMEDY = "re-record the baseline with --snapshot-update"
_SCHEMA = re.compile("pytest-htp/baseline/([1-9][0-9]{0,8})[0-9]*")
_SHOWN = 60  # characters of a wrong value

_MISSING = re.compile(r"Object missing required field `(?P<name>.*?)`(?: - at `\$(?P<place>.*)`)?")
_WRONG = re.compile(
    r"Expected `(?P<kind>.*?)`(?P<bound>.*?)(?:, got `.*?`)?(?: - at (?P<key>`key` in )?`\$(?P<place>.*)`)?"
)
_ENUM = re.compile(r"Invalid enum value (?P<got>.*?) - at `\$(?P<place>.*)`", re.DOTALL)
_WORDS = re.compile(r"'\^\(([a-z|]+)\)\$'")
_KINDS = {
    "object": "an object",
    "array": "a list",
    "str": "a string",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "null": "null",
}
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def record_of(mapping: object) -> Record:
    """The typed record that ``mapping`` describes, in today's edition whichever it was written in.

    Args:
        mapping: JSON values: ``HTPExport.record`` or the content of a baseline file.

    Raises:
        HTPUsageError: it is no record, of a newer edition, or a value is missing, of another type or out of bounds.
    """
    if not isinstance(mapping, Mapping):
        raise HTPUsageError(f'expected an export record (an object with "schema": "{SCHEMA}"), got {_kind(mapping)}')
    current: Mapping[str, object] = mapping
    for edition in range(edition_of(mapping), EDITION):
        current = STEPS[edition](current)
    return typed(current, Record, remedy=REMEDY)


def typed(value: object, kind: type[T], *, remedy: str, whole: str = "the record") -> T:
    """``value``, JSON values, as an object of a type of ours.

    Args:
        value: JSON values.
        kind: the type.
        remedy: ends every message.
        whole: what messages call ``value``.

    Raises:
        HTPUsageError: something is missing, of another type or out of bounds; names the place.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        _explain(str(error), value, whole, remedy)


def edition_of(mapping: Mapping[str, object]) -> int:
    """The edition a record was written in.

    Raises:
        HTPUsageError: it is no baseline, or of an edition that this version can't read; says whether to update.
    """
    schema = mapping.get("schema")
    if isinstance(schema, str) and (found := _SCHEMA.fullmatch(schema)):
        edition = int(found[1])
        if edition > EDITION:
            raise HTPUsageError(
                f"written with baseline schema {edition}, newer than this pytest-htp reads ({EDITION}): "
                "update pytest-htp"
            )
        return edition
    shown = f"its schema is {schema[:_SHOWN]!r}" if isinstance(schema, str) else 'it has no "schema"'
    raise HTPUsageError(f"not a pytest-htp baseline: {shown}, expected {SCHEMA!r}: {REMEDY}")


def _explain(message: str, value: object, whole: str, remedy: str) -> NoReturn:
    """Raise what ``msgspec`` found in our own words."""
    if missing := _MISSING.fullmatch(message):
        place = missing["place"] or ""
        raise HTPUsageError(f"{_named(f'{place}.' + missing['name'])} is missing: {remedy}") from None
    if unknown := _ENUM.fullmatch(message):
        place = _named(unknown["place"])
        raise HTPUsageError(
            f"{place} must be one of those that the schema names, got {unknown['got']}: {remedy}"
        ) from None
    wrong = _WRONG.fullmatch(message)
    if wrong is None:
        raise HTPUsageError(f"{whole} can't be read ({message}): {remedy}") from None
    place = _named(wrong["place"] or "") or whole
    if wrong["key"]:
        raise HTPUsageError(f"a key of {place} must be a string: {remedy}") from None
    found = _at(value, wrong["place"] or "")
    got = "" if found is _UNKNOWN else f", got {_kind(found)}"
    raise HTPUsageError(f"{place} must be {_expected(wrong['kind'], wrong['bound'])}{got}: {remedy}") from None


def _named(place: str) -> str:
    return place.removeprefix(".").replace("[...]", "")


def _expected(kind: str, bound: str) -> str:
    if "matching regex" in bound:
        one_of = _WORDS.search(bound)
        return "one of " + ", ".join(one_of[1].split("|")) if one_of else 'a decade like "1e-05" (or "inf")'
    words = " or ".join(_KINDS.get(part.strip(), part.strip()) for part in kind.split("|"))
    if limit := re.search(r"(>=|<=) (\S+)", bound):
        words += f" {'from' if limit[1] == '>=' else 'up to'} {limit[2].removesuffix('.0')}"
    return words


_UNKNOWN = object()


def _at(value: Any, place: str) -> Any:
    """The value at a place as ``msgspec`` writes it; it leaves out keys of free tables."""
    if "[...]" in place:
        return _UNKNOWN
    for name, index in _STEP.findall(place):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return _UNKNOWN
    return value


def _kind(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:40]
    if isinstance(value, str):
        return f"the string {value[:_SHOWN]!r}"
    kinds: dict[type, str] = {dict: "an object", list: "a list"}
    return kinds.get(type(value), f"a {type(value).__name__}")
