"""Changes of meaning that leave every operator where it is: one operator a module, one edit at a time.

Each edit must give one finding, in the module of the operator, whose message says what changed from what to what.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.semantic_mutations import Subject, run
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.verdicts import at_or_above
from tests.faults._meaning import MEANINGS, Edit, Meaning, attribute, exported, outcome, restored, swap

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"


@pytest.fixture(scope="module")
def operators() -> Subject:
    return exported()


@pytest.mark.parametrize("fault", MEANINGS, ids=lambda fault: f"{fault[0]} {fault[3]}".replace("/", " "))
def test_a_changed_meaning_is_found_where_it_changed_and_said_in_words(operators: Subject, fault: Meaning) -> None:
    findings = outcome(operators, fault)
    told = [(finding.code, finding.module) for finding in findings if at_or_above(finding.verdict, "drift")]
    assert told == [("ops.changed", fault[0])]
    assert fault[3] in findings[0].message
    assert compare_exports(operators.before, operators.record()).findings == ()


@pytest.mark.parametrize(
    ("path", "op", "edit"),
    [
        ("conv", "Conv", attribute("kernel_shape", (3,))),
        ("conv", "Conv", attribute("dilations", (1,))),
        ("conv", "Conv", attribute("auto_pad", "NOTSET")),
        ("one.softmax", "Softmax", attribute("axis", 2)),
        ("one.add", "Add", swap()),
        ("one.scale", "Mul", swap()),
        ("one.norm", "LayerNormalization", attribute("stash_type", 1)),
        ("one.to_half", "Cast", attribute("saturate", 1)),
    ],
)
def test_other_words_for_the_same_meaning_are_no_finding(operators: Subject, path: str, op: str, edit: Edit) -> None:
    node = next(item.node for item in operators.tagging.graph.nodes if item.path == path and item.node.op_type == op)
    undo = restored(operators, node)
    try:
        edit(operators.tagging.graph.model, node)
        assert compare_exports(operators.before, operators.record()).findings == ()
    finally:
        undo()


def test_edits_at_random_are_found_in_the_right_module(operators: Subject) -> None:
    results = list(run(iter([operators]), 40))
    assert len(results) > 20
    missed = [(result.edit.kind, result.edit.what) for result in results if not (result.found and result.right)]
    assert missed == []


def test_the_published_table_lists_these_changes() -> None:
    text = TABLE.read_text("utf-8").partition("## Changes of meaning")[2]
    rows = [row.split(" | ") for row in text.splitlines() if row.endswith(" |") and "`" in row]
    assert [(row[0].removeprefix("| "), row[1].strip("`")) for row in rows] == [
        (path, words.strip()) for path, _, _, words in MEANINGS
    ]
