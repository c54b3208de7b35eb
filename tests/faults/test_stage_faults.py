"""Faults that only a stage shows give the findings that they must, name their modules, and give nothing else.

``docs/reference/stage-faults.md`` is the same as a table: ``python -m tests.faults.table stages`` writes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_htp import compare_exports
from pytest_htp.format.serialize import dumps
from tests.faults._stage_catalogue import HARMLESS, NET, STAGE_FAULTS, StageFault, outcome, severe
from tests.faults._staged import Staged
from tests.faults._tools import edited

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "stage-faults.md"
# In every run: those of the one small model that differ in the tool alone, which share its export.
QUICK = (
    "dynamic: one layer",
    "static: one layer left",
    "static: Add",
    "half precision: one layer",
    "outputs",
    "If put",
)


def _cases() -> list[object]:
    cases = []
    for fault in STAGE_FAULTS:
        quick = fault.before.make is NET.make and any(word in fault.what for word in QUICK)
        marks = () if quick else (pytest.mark.slow,)
        cases.append(pytest.param(fault, id=f"{fault.family}: {fault.what}".replace("/", " "), marks=marks))
    return cases


@pytest.mark.parametrize("fault", _cases())
def test_a_fault_gives_its_findings_and_nothing_else(fault: StageFault) -> None:
    assert severe(outcome(fault)) == set(fault.expected)


def test_the_catalogue_is_large_and_of_many_families() -> None:
    assert len(STAGE_FAULTS) >= 40
    assert len({fault.family for fault in STAGE_FAULTS}) >= 7
    assert len({(fault.family, fault.what) for fault in STAGE_FAULTS}) == len(STAGE_FAULTS)


def test_the_published_table_lists_these_faults() -> None:
    _, *rows = [line.split("|")[1:3] for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [tuple(cell.strip() for cell in row) for row in rows] == [(f.family, f.what) for f in STAGE_FAULTS]


@pytest.mark.parametrize("what", HARMLESS)
def test_what_changes_nothing_gives_no_finding(what: str) -> None:
    before, after = (Staged(NET.make, NET.inputs, tools=(("tool", edited(*how)),)) for how in ((), (HARMLESS[what],)))
    assert compare_exports(before.record(), after.record()).findings == ()


def _pipelines() -> list[object]:
    """Every pipeline of the catalogue once; the first in every run."""
    seen = {(fault.before.make, fault.before.tools): fault for fault in reversed(STAGE_FAULTS)}
    unchanged = sorted(seen.values(), key=STAGE_FAULTS.index)
    return [pytest.param(fault.before, id=fault.what.replace("/", " "), marks=pytest.mark.slow) for fault in unchanged]


@pytest.mark.slow
@pytest.mark.parametrize("staged", _pipelines())
def test_a_repeated_run_writes_the_same_bytes(staged: Staged) -> None:
    first, second = staged.record(), staged.record(anew=True)
    assert dumps(first) == dumps(second)
    assert compare_exports(first, second).findings == ()
