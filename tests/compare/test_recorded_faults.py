"""Every finding, word for word, between the records of real exports before and after a fault; no torch is needed.

That the fault is the one that it says is tested where it is made: ``tests/faults``.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.compare import _recorded

CASES, FINDINGS = _recorded.read(), _recorded.read_findings()


@pytest.mark.parametrize("name", FINDINGS)
def test_a_recorded_fault_has_the_findings_it_had(name: str) -> None:
    fault, undone, _ = name.partition(", undone")
    fault, then, following = fault.partition(", then ")
    before, after = CASES[fault]
    if then:
        before, after = after, CASES[following][1]
    elif undone:
        before, after = after, before
    assert _recorded.findings(before, after) == FINDINGS[name], "if that is meant: python -m tests.compare._recorded"


def test_every_fault_is_undone_and_many_are_exchanged() -> None:
    assert set(CASES) <= set(FINDINGS)
    assert {f"{name}, undone" for name in CASES} <= set(FINDINGS)
    assert sum(", then " in name for name in FINDINGS) > 50


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
