"""The canonical text of records, and reading files that anybody may have written."""

from __future__ import annotations

import copy
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.load import MAX_BYTES, load, loads
from pytest_htp.format.read import record_of
from pytest_htp.format.schema import FOLDER, schemas
from pytest_htp.format.serialize import dumps
from tests.compare._records import bert

SCHEMA = json.loads(files("pytest_htp").joinpath("schemas/baseline.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_text_is_canonical_and_round_trips() -> None:
    record = bert()
    text = dumps(record)
    shuffled = {key: record[key] for key in reversed(record)}
    assert dumps(shuffled) == text
    assert loads(text) == record
    assert dumps(loads(text)) == text
    assert text.endswith("}\n")
    assert "\r" not in text
    assert sum('"path":' in line for line in text.splitlines()) == len(record["modules"])


def test_a_model_of_any_depth_has_a_small_file() -> None:
    small, large = dumps(bert(12)), dumps(bert(126))
    assert small.count("\n") == large.count("\n") < 250
    assert len(small) < 20_000


def test_hidden_characters_are_visible_and_survive() -> None:
    record = bert()
    record["model"]["class"] = "a\u202eb\x7f\ud800\u2028é"
    text = dumps(record)
    assert "é" in text
    assert "\\u202eb\\u007f\\ud800\\u2028" in text
    text.encode("utf-8")
    assert loads(text)["model"]["class"] == record["model"]["class"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {"a": {None: 1}}, b"x", {1, 2}])
def test_what_json_would_bend_is_refused(value: Any) -> None:
    with pytest.raises(HTPUsageError, match="record"):
        dumps({"x": [value]})


def test_the_place_of_a_number_that_is_not_finite_is_named() -> None:
    record = record_of(bert())
    with pytest.raises(HTPUsageError, match=r"record\.coverage\.coverage is nan"):
        dumps(replace(record, coverage=replace(record.coverage, coverage=float("nan"))))


def test_the_published_schemas_are_made_from_the_types() -> None:
    for name, text in schemas().items():
        assert (FOLDER / name).read_text("utf-8") == text, "python -m pytest_htp.format.schema writes it anew"


def test_the_published_schema_accepts_records() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(bert())
    unmeasured = bert() | {"parity": {"measured": False, "reason": "x"}, "attestation": {"measured": False}}
    VALIDATOR.validate(loads(dumps(unmeasured)))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    if isinstance(value, dict):
        return [path, *(place for key in value for place in places(value[key], (*path, key)))]
    if isinstance(value, list) and value:
        return [path, *places(value[0], (*path, 0))]
    return [path]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


RECORD = bert(1)
RECORD["weights"]["duplicates"] = [{"names": ["a", "b"], "bytes": 4, "copies": 2}]
PLACES = [place for place in places(RECORD) if place]


@pytest.mark.parametrize("wrong", [None, True, -1, "text", [], {}, [[]], 0.5, 2**70], ids=repr)
def test_what_is_read_is_what_the_schema_accepts(wrong: Any) -> None:
    for place in PLACES:
        record = copy.deepcopy(RECORD)
        at(record, place[:-1])[place[-1]] = wrong
        assert accepted(record) == VALIDATOR.is_valid(record), place


def test_missing_keys_are_refused_as_in_the_schema() -> None:
    for place in PLACES:
        if isinstance(place[-1], str):
            record = copy.deepcopy(RECORD)
            del at(record, place[:-1])[place[-1]]
            assert accepted(record) == VALIDATOR.is_valid(record), place


def accepted(record: Any) -> bool:
    try:
        loads(json.dumps(record))
    except HTPUsageError:
        return False
    return True


def refused(text: str | bytes) -> str:
    with pytest.raises(HTPUsageError) as caught:
        loads(text, source="base.json")
    message = str(caught.value)
    assert message.startswith("base.json")
    return message


GOOD = dumps(RECORD)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD[:500], "not complete JSON"),
        ("", "empty"),
        (GOOD.encode("utf-16"), "not UTF-8"),
        (GOOD.replace("96", "NaN").replace("100.0", "NaN"), "NaN"),
        (GOOD.replace("100.0", "1e999"), "too large"),
        (GOOD.replace("100.0", "9" * 5000), "re-record"),
        (GOOD.replace('"opset"', '"inputs"'), "twice"),
        ("[" * 100_000, "re-record"),
        ('{"a":' * 100 + "1" + "}" * 100, "deep"),
        ("[]", "expected an export record"),
        ("{}", "not a pytest-htp baseline"),
        ('{"schema": "pytest-htp/report/1"}', "not a pytest-htp baseline"),
        ('{"schema": "pytest-htp/baseline/3"}', "update pytest-htp"),
        ('{"schema": "pytest-htp/baseline/0"}', "re-record"),
        ('{"schema": "pytest-htp/baseline/1"}', "is missing"),
        ('{"schema": "pytest-htp/baseline/2"}', "is missing"),
        ("<<<<<<< HEAD\n" + GOOD, "unresolved merge"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (GOOD.replace('"path": "embeddings"', '"path": "e.{0..999999999}"'), "stands for"),
        (GOOD.replace('"path": "embeddings"', '"path": "encoder"'), "two rows"),
    ],
    ids=range(20),
)
def test_bad_text_is_refused_with_its_name_and_a_remedy(text: str | bytes, says: str) -> None:
    assert says in refused(text)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(HTPUsageError, match="larger than 32 MiB"):
        load(path)
    assert "larger" in refused(" " * (MAX_BYTES + 1))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(GOOD, "utf-8")
    assert load(good) == RECORD
    link = tmp_path / "link.json"
    link.symlink_to(good)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    unreadable: list[tuple[Path | str, str]] = [
        (link, "symbolic link"),
        (tmp_path, "folder|not a file"),
        (tmp_path / "absent.json", "does not exist"),
        (pipe, "not a file"),
        ("a\0b", "can't be read"),
    ]
    for path, says in unreadable:
        with pytest.raises(HTPUsageError, match=says):
            load(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_garbage_is_refused_and_nothing_else(text: str | bytes) -> None:
    with pytest.raises(HTPUsageError):
        loads(text)


@settings(max_examples=200)
@given(st.sampled_from(PLACES), json_values)
def test_a_record_with_anything_anywhere_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    record = copy.deepcopy(RECORD)
    at(record, place[:-1])[place[-1]] = value
    try:
        read = loads(json.dumps(record))
    except HTPUsageError:
        return
    assert loads(dumps(read)) == read
