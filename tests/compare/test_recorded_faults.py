"""Every finding, word for word, between the records of real exports before and after a fault; no torch is needed.

That the fault is the one that it says is tested where it is made: ``tests/faults``.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.compare import _recorded

CASES = _recorded.read()


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_fault_has_the_findings_it_had(name: str) -> None:
    before, after, findings = CASES[name]
    assert _recorded.findings(before, after) == findings, "if that is meant: python -m tests.compare._recorded"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3, "c": None}]}),
        ({"a": [1]}, {"a": [1, 2], "d": {}}),
        ({"a": 1, "b": 2}, {"b": 2}),
        ({"a": {"x": 1}}, {"a": {}}),
        ({"a": 1}, {"a": 1}),
        ({}, {"a": None}),
    ],
)
def test_what_is_stored_of_a_record_gives_it_back(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert _recorded.changed(before, _recorded.changes(before, after)) == after
