"""What differs between two rows, and which children of a list are each other's."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.changes import Change, differences, same_content
from pytest_htp.compare.match import match_modules
from pytest_htp.compare.sequences import renumbered
from pytest_htp.format.record import ModuleRow


def row(path: str = "m", class_name: str = "Net", **fields: Any) -> ModuleRow:
    ops = fields.pop("ops", {})
    nodes = fields.pop("nodes", sum(ops.values()))
    values: dict[str, Any] = {"calls": 1, "dtypes": {}, "evidence": {}, "weights": {}, "fingerprint": None}
    return ModuleRow(path=path, class_name=class_name, ops=ops, nodes=nodes, **{**values, **fields})


def test_differences_are_signed_and_sorted() -> None:
    assert differences({"b": 1, "a": 2, "c": 3}, {"c": 3, "b": 4, "d": 1}) == {"a": -2, "b": 3, "d": 1}
    assert list(differences({"b": 1, "a": 2}, {"b": 2, "a": 1})) == ["a", "b"]
    assert differences({"a": 0}, {}) == {}
    assert differences({"a": 1}, {"a": 1}) == {}


@pytest.mark.parametrize(
    ("before", "after", "losses", "gains", "amount"),
    [
        ({"A": 1}, {}, True, False, 1),
        ({"A": 2, "B": 1}, {"A": 1}, True, False, 2),
        ({}, {"A": 1}, False, True, 1),
        ({"A": 1}, {"A": 2, "B": 3}, False, True, 4),
        ({"A": 1}, {"B": 1}, False, False, 2),
        ({"A": 1}, {"A": 1}, False, False, 0),
    ],
)
def test_operators(before: dict[str, int], after: dict[str, int], losses: bool, gains: bool, amount: int) -> None:
    change = Change(row(ops=before), row(ops=after))
    assert (change.only_losses, change.only_gains, change.amount) == (losses, gains, amount)
    assert change.structural is (before != after)
    assert change.nodes == sum(after.values()) - sum(before.values())


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ({"FLOAT": 2}, {"FLOAT": 3}, False),  # more of the same
        ({"FLOAT": 2}, {"FLOAT": 2}, False),
        ({"FLOAT": 2, "INT64": 1}, {"FLOAT": 1, "INT64": 2}, True),
        ({"FLOAT": 2, "INT64": 2}, {"FLOAT": 1, "INT64": 1}, False),
        ({"FLOAT": 2}, {"FLOAT": 2, "INT64": 1}, True),
        ({"FLOAT": 2, "INT64": 1}, {"FLOAT": 2}, True),
    ],
)
def test_outputs_of_another_type(before: dict[str, int], after: dict[str, int], moved: bool) -> None:
    assert Change(row(dtypes=before), row(dtypes=after)).moved_types is moved


@pytest.mark.parametrize(
    ("before", "after", "known", "new"),
    [
        ({"FLOAT": 1}, {"FLOAT": 1, "DOUBLE": 1}, [], ["DOUBLE"]),
        ({"FLOAT": 1}, {"FLOAT": 1, "INT64": 1}, [], []),
        ({"INT64": 1}, {"FLOAT": 1}, ["FLOAT"], []),  # begins with floats that the model has
        ({"INT64": 1}, {"DOUBLE": 1}, ["FLOAT"], ["DOUBLE"]),
        ({"FLOAT": 1}, {"FLOAT16": 1}, ["FLOAT16"], ["FLOAT16"]),
        ({"FLOAT": 1}, {"FLOAT": 2}, [], []),
    ],
)
def test_new_floats(before: dict[str, int], after: dict[str, int], known: list[str], new: list[str]) -> None:
    assert Change(row(dtypes=before), row(dtypes=after), frozenset(known)).new_floats == new


def test_evidence_class_and_words() -> None:
    change = Change(row(evidence={"direct": 3, "fused": 1}), row(evidence={"direct": 1, "fused": 2, "inferred": 4}))
    assert (change.direct, change.not_direct, change.structural) == (-2, 5, False)
    assert Change(row(), row(evidence={"direct": 2})).direct == 2
    assert Change(row(class_name="A"), row(class_name="B")).class_changed
    assert not Change(row(), row()).class_changed
    assert Change(row(ops={"A": 1}), row(ops={"A": 1})).description == "same operators, other attributes or wiring"
    assert Change(row(nodes=3), row(nodes=5)).description == "3 -> 5 nodes"
    assert Change(row(ops={"A": 1}), row(ops={"B": 1})).description == "A 1 -> 0, B 0 -> 1"
    many = Change(row(), row(ops={f"O{number}": 1 for number in range(9)}))
    assert many.description.endswith("O7 0 -> 1, 1 more operators; 0 -> 9 nodes")
    eight = Change(row(), row(ops={f"O{number}": 1 for number in range(8)}))
    assert eight.description.endswith("O7 0 -> 1; 0 -> 8 nodes")
    assert many.counts(many.after) == many.after.ops
    assert set(many.counts(many.before).values()) == {0}


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"fingerprint": "a"}, {"fingerprint": "b"}, False),
        ({"fingerprint": "a"}, {"fingerprint": None}, True),
        ({"fingerprint": "a", "program": ["x"]}, {"fingerprint": "b"}, False),  # of edition 1 there is no program
        ({"fingerprint": "a", "program": ["x"]}, {"fingerprint": "b", "program": ["x"]}, True),
        ({"fingerprint": "a", "program": ["x"]}, {"fingerprint": "a", "program": ["y"]}, False),
        ({"calls": 1}, {"calls": 2}, False),
        ({"weights": {"FLOAT": 4}}, {"weights": {"FLOAT": 8}}, False),
        ({"flops": 4}, {"flops": 8}, True),
    ],
)
def test_same_content(before: dict[str, Any], after: dict[str, Any], same: bool) -> None:
    assert same_content(row("a", **before), row("b", **after)) is same


def test_outputs_that_nothing_reads_come_and_go() -> None:
    program = ["%1 = Split(in0)"]
    change = Change(row(program=program, dtypes={"FLOAT": 1}), row(program=program, dtypes={"FLOAT": 2}))
    assert (change.dtypes, change.structural) == ({}, False)
    change = Change(row(program=program, dtypes={"FLOAT": 1}), row(program=program, dtypes={"INT64": 1}))
    assert change.structural


def children(text: str, parent: str = "seq") -> dict[str, ModuleRow]:
    rows = {"": row("", "Net"), parent: row(parent, "Sequential")}
    for number, name in enumerate(text):
        rows[f"{parent}.{number}"] = row(f"{parent}.{number}", name)
    return rows


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ("AB", "AB", {}),
        ("AB", "AXB", {"0": "0", "1": "2"}),
        ("AXB", "AB", {"0": "0", "1": None, "2": "1"}),
        ("AB", "AXYB", {"0": "0", "1": "3"}),
        ("ABCABC", "ABCXABC", {"0": "0", "1": "1", "2": "2", "3": "4", "4": "5", "5": "6"}),
        ("ABCDEFGHIJKL", "XABCDEFGHIJKL", {str(n): str(n + 1) for n in range(12)}),  # 9 before 10
        ("AB", "AX", None),
    ],
)
def test_a_child_put_in_shifts_those_behind_it(before: str, after: str, moves: dict[str, str | None] | None) -> None:
    found = renumbered(children(before), children(after))
    if moves is None:
        assert all(new == old for old, new in found.items() if new is not None)
        return
    expected = {f"seq.{old}": None if new is None else f"seq.{new}" for old, new in moves.items()}
    assert {**expected, **found} == expected
    assert {old: new for old, new in expected.items() if old != new} == {o: n for o, n in found.items() if o != n}


def test_two_hundred_children_between_equal_ends_are_aligned_and_no_more() -> None:
    """The first is gone and another comes last: nothing at the ends is alike."""
    for same in (199, 200):
        found = renumbered(children("X" + "A" * same), children("A" * (same - 1) + "Y"))
        assert len([old for old, new in found.items() if new is not None]) == (198 if same == 199 else 0)


def test_what_is_inside_a_shifted_child_shifts_with_it() -> None:
    before, after = children("AB"), children("AXB")
    before["seq.1.in"], after["seq.2.in"] = row("seq.1.in", "In"), row("seq.2.in", "In")
    modules = match_modules(before.values(), after.values())
    assert modules.new_paths == {"seq.1": "seq.2", "seq.1.in": "seq.2.in"}
    assert (set(modules.added), set(modules.removed), modules.renumbered_in) == ({"seq.1"}, set(), {"seq"})


def test_modules_are_matched_by_structure_then_by_class_and_place() -> None:
    ops = {"A": 2}
    before = [row("", "Net"), row("a", "Block", ops=ops), row("a.in", "In", ops={"B": 1})]
    moved = [row("", "Net"), row("w", "Wrap"), row("w.a", "Block", ops=ops), row("w.a.in", "In", ops={"B": 1})]
    modules = match_modules(before, moved)
    assert [(move.old, move.new, move.class_name) for move in modules.moves] == [("a", "w.a", "Block")]
    assert (set(modules.added), set(modules.removed)) == ({"w"}, set())
    # changed as well: only beside where it was, and only one of that class
    changed = [row("", "Net"), row("b", "Block", ops={"A": 3}), row("b.in", "In", ops={"B": 1})]
    modules = match_modules(before, changed)
    assert modules.new_paths == {"a": "b", "a.in": "b.in"}
    assert [pair.path for pair in modules.changed] == ["b"]
    two = [*changed, row("c", "Block", ops={"A": 4})]
    modules = match_modules(before, two)
    assert "a" in modules.removed
    assert {"b", "c"} <= set(modules.added)
    # an empty one only under the same parent
    empty = [row("", "Net"), row("x", "Box"), row("y", "Box"), row("x.e", "Empty")]
    other = [row("", "Net"), row("x", "Box"), row("y", "Box"), row("y.e", "Empty")]
    assert match_modules(empty, other).moves == []
