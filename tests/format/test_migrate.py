"""Baselines of edition 1, as they were written for every bundled model, are read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_htp.compare.engine import compare_exports
from pytest_htp.format.load import load
from pytest_htp.format.migrate import to_edition_2
from pytest_htp.format.read import record_of
from pytest_htp.format.record import SCHEMA
from pytest_htp.format.serialize import dumps

EDITION_1 = Path(__file__).parent / "edition1"
STORED = sorted(path for path in EDITION_1.glob("test_*.json"))


def stored(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_the_stored_files_are_of_edition_1_and_fit_its_schema() -> None:
    validator = jsonschema.Draft202012Validator(stored(EDITION_1 / "baseline.schema.json"))
    assert len(STORED) == 29
    for path in STORED:
        validator.validate(stored(path))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_nothing_but_the_edition_changes(path: Path) -> None:
    old, new = stored(path), load(path)
    assert new["schema"] == SCHEMA
    assert {key for key in new if key not in old} == set()
    for section in old.keys() - {"schema", "weights", "graph"}:
        assert new[section] == old[section], section
    assert record_of(new).weights.kept is (old["weights"]["duplicates"] is not None)
    assert new["weights"]["duplicates"] == old["weights"]["duplicates"]
    assert record_of(new).graph.functions == old["graph"]["functions"]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_being_old_is_no_finding(path: Path) -> None:
    old, new = stored(path), load(path)
    assert not compare_exports(old, new).findings
    assert not compare_exports(new, old).findings
    assert record_of(new).fingerprint_version == 1
    assert json.loads(dumps(record_of(new))) == new


def test_copies_that_edition_1_left_out_are_one_for_each_name() -> None:
    groups = [{"names": ["a", "b", "c"], "bytes": 8}, {"names": ["d"], "copies": 5}, "odd", {"names": "odd"}]
    weights = to_edition_2({"weights": {"duplicates": groups}})["weights"]
    assert weights == {
        "tied_apart": [],
        "kept": True,
        "duplicates": [{"names": ["a", "b", "c"], "bytes": 8, "copies": 3}, *groups[1:]],
    }
    weights = to_edition_2({"weights": {"duplicates": None, "tied_apart": ["x"]}})["weights"]
    assert weights == {"tied_apart": ["x"], "kept": False, "duplicates": []}
    assert to_edition_2({"weights": {"duplicates": "odd"}})["weights"]["duplicates"] == "odd"
