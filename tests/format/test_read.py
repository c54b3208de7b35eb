"""Typed records: what is read, and what is said of what can't be."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.read import record_of
from pytest_htp.format.record import SCHEMA
from tests.compare._records import bert


def changed(place: str, value: Any) -> dict[str, Any]:
    record = bert()
    *outer, last = place.split("/")
    target: Any = record
    for key in outer:
        target = target[int(key) if key.isdecimal() else key]
    target[int(last) if last.isdecimal() else last] = value
    return record


def edition_1(duplicates: Any) -> dict[str, Any]:
    record = bert() | {"schema": "pytest-htp/baseline/1"}
    del record["weights"]["kept"], record["weights"]["tied_apart"]
    record["weights"]["duplicates"] = duplicates
    return record


def test_an_edition_1_record_is_read_as_one_of_today() -> None:
    record = record_of(edition_1(None))
    assert record.schema == SCHEMA
    assert record.weights.kept is False
    assert record.weights.duplicates == []
    assert record.fingerprint_version == 1
    assert record.modules[0].class_name == "BertModel"
    assert record.modules[0].program is None


def test_copies_that_edition_1_left_out_are_as_many_as_the_names() -> None:
    groups = [{"names": ["a", "b", "c"], "bytes": 4}, {"names": [], "bytes": 4, "copies": 9}]
    read = record_of(edition_1(groups)).weights
    assert read.kept
    assert [group.copies for group in read.duplicates] == [3, 9]


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("modules/3/nodes", "many", "modules[3].nodes must be a whole number, got the string 'many'"),
        ("modules/3/nodes", -1, "modules[3].nodes must be a whole number from 0, got -1"),
        ("modules/3/nodes", True, "modules[3].nodes must be a whole number, got True"),
        ("modules/3/nodes", 2**70, "modules[3].nodes must be a whole number up to 9223372036854775807"),
        ("modules/3/ops", {"Add": -1}, "modules[3].ops must be a whole number from 0"),
        ("modules/3/ops", {1: 1}, "a key of modules[3].ops must be a string"),
        ("modules/3/ops", [], "modules[3].ops must be an object, got a list"),
        ("modules", None, "modules must be a list, got None"),
        ("inputs/0/dims/1", 1.5, "inputs[0].dims[1] must be a whole number or a string or null, got 1.5"),
        ("coverage/coverage", float("nan"), "coverage.coverage must be a number from 0, got nan"),
        ("coverage/coverage", 100.5, "coverage.coverage must be a number up to 100, got 100.5"),
        ("parity/outputs/0/max_abs", "small", 'must be a decade like "1e-05" (or "inf"), got the string \'small\''),
        ("parity/measured", 1, "parity.measured must be true or false, got 1"),
        ("schema", "pytest-htp/baseline/3", "newer than this pytest-htp reads (2): update pytest-htp"),
        ("schema", "pytest-htp/baseline/0", "not a pytest-htp baseline: its schema is 'pytest-htp/baseline/0'"),
        ("schema", "pytest-htp/baseline/01", "not a pytest-htp baseline"),
        ("schema", None, 'it has no "schema"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_was_expected(place: str, value: Any, says: str) -> None:
    with pytest.raises(HTPUsageError) as caught:
        record_of(changed(place, value))
    assert says in str(caught.value)
    assert "update" in str(caught.value)


def test_what_is_missing_is_named() -> None:
    record = bert()
    del record["modules"][2]["class"]
    with pytest.raises(HTPUsageError, match=r"^modules\[2\]\.class is missing: re-record the baseline"):
        record_of(record)
    with pytest.raises(HTPUsageError, match=r"^weights is missing: re-record"):
        record_of({key: value for key, value in bert().items() if key != "weights"})
    with pytest.raises(HTPUsageError, match=r"expected an export record .* got a list"):
        record_of([])
