"""Marks follow values through replacements: who inherits, who joins, who stays as it is."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from pytest_htp.capture.marks import (
    ORIGIN_KEY,
    MarkKeeper,
    clear_marks,
    join_marks,
    marks_of,
    surviving,
    without_marks,
)


def node(op_type: str, *inputs: ir.Value, mark: str | None = None, outputs: int = 1) -> ir.Node:
    made = ir.Node("", op_type, inputs, num_outputs=outputs)
    if mark is not None:
        made.metadata_props[ORIGIN_KEY] = mark
    return made


def replace(keeper: MarkKeeper, old: ir.Node, new: ir.Value) -> None:
    keeper.replaced(old.outputs[0], new)


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [("1", "1", "1"), ("1", "2", "1,2"), ("10", "9", "9,10"), ("1,3", "2,3", "1,2,3"), ("", "4", "4")],
)
def test_union(first: str, second: str, joined: str) -> None:
    assert join_marks(first, second) == joined == join_marks(second, first)


@pytest.mark.parametrize(("text", "marks"), [("3", (3,)), ("1,2", (1, 2)), ("", ()), ("x,²,-1,5", (5,))])
def test_only_our_own_marks_are_read(text: str, marks: tuple[int, ...]) -> None:
    assert marks_of(node("Relu", mark=text)) == marks


def test_new_nodes_inherit_with_what_they_compute_from() -> None:
    x = ir.Value(name="x")
    source = node("MatMul", x, mark="1")
    old = node("GatherND", source.outputs[0], mark="2")
    shape = node("Constant")
    reshape = node("Reshape", source.outputs[0], shape.outputs[0])
    gather = node("Gather", reshape.outputs[0])
    replace(MarkKeeper(), old, gather.outputs[0])
    assert [marks_of(made) for made in (gather, reshape, shape, source)] == [(2,), (2,), (2,), (1,)]


def test_an_eliminated_duplicate_joins_its_survivor_alone() -> None:
    keeper = MarkKeeper()
    x = ir.Value(name="x")
    before = node("Cast", x, mark="7")
    survivor = node("Not", before.outputs[0], mark="3")
    replace(keeper, node("Not", before.outputs[0], mark="5"), survivor.outputs[0])
    assert marks_of(survivor) == (3, 5)
    assert marks_of(before) == (7,)


def test_operations_packed_into_one_join_in_all_that_was_made_for_them() -> None:
    keeper = MarkKeeper()
    x = ir.Value(name="x")
    query, key, value = (node("MatMul", x, mark=str(index)) for index in range(3))
    packed = node("MatMul", x)
    split = node("Split", packed.outputs[0], outputs=3)
    for part, old in zip(split.outputs, (query, key, value), strict=True):
        replace(keeper, old, part)
    assert marks_of(split) == marks_of(packed) == (0, 1, 2)


def test_leaving_out_a_step_without_effect_joins_nothing() -> None:
    keeper = MarkKeeper()
    x = ir.Value(name="x")
    relu = node("Relu", x, mark="1")
    there = node("Transpose", relu.outputs[0], mark="2")
    back = node("Transpose", there.outputs[0], mark="3")
    replace(keeper, back, relu.outputs[0])
    assert marks_of(relu) == (1,)
    assert marks_of(there) == (2,)
    assert marks_of(back) == (3,)


def test_unknown_origins_neither_inherit_nor_pass_on() -> None:
    keeper = MarkKeeper()
    x = ir.Value(name="x")
    unknown, known = node("Relu", x, mark=""), node("Sigmoid", x, mark="1")
    replace(keeper, known, unknown.outputs[0])
    replace(keeper, unknown, known.outputs[0])
    keeper.replaced(x, known.outputs[0])
    keeper.replaced(known.outputs[0], x)
    assert (marks_of(unknown), marks_of(known)) == ((), (1,))


def test_a_matched_node_that_serves_others_was_not_consumed() -> None:
    x = ir.Value(name="x")
    mask = node("Expand", x, mark="9")
    score = node("Add", x, mask.outputs[0], mark="1")
    softmax = node("Softmax", score.outputs[0], mark="2")
    elsewhere = node("Add", x, mask.outputs[0], mark="3")
    matched = [softmax, score, mask]
    assert surviving(matched) == [mask]
    with without_marks([mask]):
        assert ORIGIN_KEY not in mask.metadata_props
    assert marks_of(mask) == (9,)
    assert marks_of(elsewhere) == (3,)


def test_nothing_of_ours_stays_in_the_graph() -> None:
    inner = node("Relu", mark="1")
    outer = node("Add", mark="2")
    function = ir.Function("d", "f", graph=ir.Graph([], [], nodes=[inner]), attributes=[])
    model = ir.Model(ir.Graph([], [], nodes=[outer]), ir_version=10, functions=[function])
    clear_marks(model)
    assert not inner.metadata_props
    assert not outer.metadata_props
