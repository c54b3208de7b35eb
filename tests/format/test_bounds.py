"""The layout of a file's text, and every bound on what is read, on both sides."""

from __future__ import annotations

import json
import tracemalloc
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import AtomicFiles
from pytest_htp.format.given import read_given
from pytest_htp.format.load import MAX_BYTES, MAX_DEPTH, loads, parse_json, read_regular_file
from pytest_htp.format.paths import MAX_PATHS, expand_pattern, number_in, path_template, shortened
from pytest_htp.format.program import called_paths, parse_line
from pytest_htp.format.read import edition_of, record_of, typed
from pytest_htp.format.serialize import dict_of, dumps
from tests.compare._records import bert

LAYOUT = """\
{
  "b": {
    "flat": {"x": 1, "y": {"z": []}},
    "rows": [
      {"a": 1, "b": {"d": 2, "é": 3}},
      [1, 2]
    ]
  },
  "empty": [],
  "name": "x",
  "none": {},
  "stages": [
    {
      "modules": [
        {"path": "only"}
      ],
      "name": "s"
    },
    {"modules": [], "name": "t"}
  ],
  "table": {"a": 1, "b": null}
}
"""


def test_a_row_is_a_line() -> None:
    record = {
        "table": {"b": None, "a": 1},
        "stages": [{"name": "s", "modules": [{"path": "only"}]}, {"name": "t", "modules": []}],
        "none": {},
        "name": "x",
        "empty": [],
        "b": {"rows": [{"b": {"é": 3, "d": 2}, "a": 1}, [1, 2]], "flat": {"y": {"z": []}, "x": 1}},
    }
    assert dumps(record) == LAYOUT
    assert json.loads(LAYOUT) == record


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": [0, {"b": float("inf")}]}, "record.a[1].b is inf"), ({"a": {1: 2}}, "record.a has the key 1"),
     ({"a": [b"x"]}, "record.a[0] is a bytes")],
)  # fmt: skip
def test_what_no_record_can_hold_is_named_with_its_place(value: dict[str, object], place: str) -> None:
    with pytest.raises(HTPUsageError) as caught:
        dumps(value)
    assert str(caught.value).startswith(place)


def test_sizes(tmp_path: Path) -> None:
    assert parse_json("1" + " " * (MAX_BYTES - 1), "x") == 1
    with pytest.raises(HTPUsageError, match="larger than 32 MiB"):
        parse_json("1" + " " * MAX_BYTES, "x")
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular_file(path, limit=5) == b"12345"
    with pytest.raises(HTPUsageError, match="larger"):
        read_regular_file(path, limit=4)


def test_what_the_user_named_is_read_as_it_is(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"12345")
    link.symlink_to(path)
    assert read_given(str(link), limit=5) == b"12345"
    assert read_given("/dev/null") == b""
    for name, limit, says in (
        (str(path), 4, "is larger than 0 MiB"),
        ("/dev/zero", 3 * 2**20, "is larger than 3 MiB"),
        (str(tmp_path), 9, "is a folder: give the path of one file"),
        (str(tmp_path / "absent"), 9, "does not exist: check the path"),
        ("a\0b", 9, "'a\\x00b' can't be read: "),
    ):
        with pytest.raises(HTPUsageError) as caught:
            read_given(name, limit=limit)
        assert says in str(caught.value)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a": ', "}")])
def test_depth(open_: str, close: str) -> None:
    deepest = open_ * (MAX_DEPTH - 1) + "[]" + close * (MAX_DEPTH - 1)
    assert parse_json(deepest, "x")
    with pytest.raises(HTPUsageError, match="nested more than 32 deep"):
        parse_json(open_ + deepest + close, "x")
    assert parse_json(open_ * MAX_DEPTH + "1" + close * MAX_DEPTH, "x")


def test_numbers_of_paths() -> None:
    assert len(expand_pattern("a.{0..2}", 3)) == 3
    with pytest.raises(HTPUsageError, match="stands for 3 modules; at most 2 are accepted"):
        expand_pattern("a.{0..2}", 2)
    assert len(expand_pattern(f"{{1..{MAX_PATHS}}}")) == MAX_PATHS == 300_000
    assert number_in("123456789") == 123456789
    assert number_in("1234567890") is None


def test_what_messages_quote_is_short() -> None:
    assert shortened("x" * 120) == repr("x" * 120)
    assert shortened("x" * 121) == repr("x" * 117 + "...")
    with pytest.raises(HTPUsageError, match=f"its schema is '{'x' * 60}',"):
        edition_of({"schema": "x" * 61})
    with pytest.raises(HTPUsageError, match=f"got the string '{'x' * 60}'"):
        record_of("x" * 61)


def test_numbers_in_programs() -> None:
    assert parse_line("%1234567891 = Add(in0)").number == 123456789
    assert len(called_paths("layer.{1..1000}")) == len(called_paths("layer.{1..1001}")) == 1000
    assert called_paths("layer.{1..1001}")[-1] == "layer.1000"
    assert called_paths("a.{2..2}") == ["a.2"]


@pytest.mark.parametrize("schema", ["pytest-htp/baseline/2", "pytest-htp/baseline/1"])
def test_editions_that_are_read(schema: str) -> None:
    assert edition_of({"schema": schema}) == int(schema[-1])


@pytest.mark.parametrize(
    "schema", ["pytest-htp/baseline/", "pytest-htp/baseline/02", "pytest-htp/baseline/x", "2", 2, "1234567890"]
)
def test_editions_that_are_none(schema: object) -> None:
    with pytest.raises(HTPUsageError, match="not a pytest-htp baseline"):
        edition_of({"schema": schema})


@pytest.mark.parametrize("number", ["3", "999999999", "9999999999"])
def test_editions_to_come(number: str) -> None:
    with pytest.raises(HTPUsageError, match=rf"baseline schema {number[:9]}, newer than this pytest-htp reads \(2\)"):
        edition_of({"schema": f"pytest-htp/baseline/{number}"})


class _Colour(StrEnum):
    RED = "red"


class _Painted(msgspec.Struct):
    colour: _Colour
    count: Annotated[int, msgspec.Meta(multiple_of=2)] = 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"colour": "green"}, "colour must be one of those that the schema names, got 'green': do"),
        ({"colour": "red", "count": 3}, "count must be a whole number, got 3: do"),
        ({}, "colour is missing: do"),
        ([], "it must be an object, got a list: do"),
    ],
)
def test_what_is_no_record_at_all_is_refused_in_the_same_words(value: object, words: str) -> None:
    with pytest.raises(HTPUsageError) as caught:
        typed(value, _Painted, remedy="do", whole="it")
    assert str(caught.value) == words


def test_a_stage_s_measured_sections_are_written_whole() -> None:
    record = {**bert(), "stages": [{key: bert()[key] for key in STAGE_KEYS} | {"name": "s"}]}
    (stage,) = dict_of(record_of(record))["stages"]
    assert stage["attestation"]["contradicted"] == []
    assert stage["parity"]["first_divergence"] is None
    record["stages"][0]["parity"] = {"measured": False, "reason": "x"}
    assert dict_of(record_of(record))["stages"][0]["parity"] == {"measured": False, "reason": "x"}


STAGE_KEYS = (
    "opset", "inputs", "outputs", "graph", "weights", "coverage", "attestation", "parity", "modules", "untagged"
)  # fmt: skip


def test_paths_that_may_fold_together_have_one_template() -> None:
    assert path_template("layer.0.b") == path_template("layer.12.b") == ("layer", None, "b")
    assert path_template("layer.01.b") != path_template("layer.1.b")


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), AtomicFiles() as files:
        files.stage(tmp_path, ["text"])
    assert list(tmp_path.iterdir()) == []


def test_the_key_that_is_repeated_is_named() -> None:
    with pytest.raises(HTPUsageError, match="the key 'b' occurs twice"):
        parse_json('{"a": 1, "b": 2, "c": 3, "b": 4}', "x")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**30)  # sparse
    tracemalloc.start()
    with pytest.raises(HTPUsageError, match="is larger than 8 MiB; this is no file of pytest-htp"):
        read_given(str(path), 2**23)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("section", ["inputs", "outputs"])
def test_tensors_of_a_record_fill_all_places(section: str) -> None:
    record = bert()
    record[section] = [{"name": "x.{0..2}", "dtype": "FLOAT", "dims": [1], "every": 2}]
    with pytest.raises(HTPUsageError, match="inputs or outputs have a gap"):
        loads(dumps(record))
