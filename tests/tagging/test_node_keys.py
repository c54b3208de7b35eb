"""Keys of nodes: deterministic and unique, also for nodes without a name of their own."""

from __future__ import annotations

import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_htp.tagging.facts import node_keys


def node(name: str | None, op_type: str = "Relu") -> ir.Node:
    return ir.Node("", op_type, [], name=name)


def test_unique_names_are_keys() -> None:
    assert node_keys([("", node("a")), ("body", node("b"))]) == ["a", "b"]


def test_unnamed_and_duplicate_names() -> None:
    nodes = [("", node(None)), ("", node("")), ("", node("x")), ("then", node("x")), ("", node(None, "Add"))]
    assert node_keys(nodes) == ["Relu#0", "Relu#1", "x#0", "then/x#0", "Add#0"]


def test_a_made_key_never_takes_a_real_name() -> None:
    assert node_keys([("", node("Relu#0")), ("", node(None)), ("", node(None))]) == [
        "Relu#0",
        "Relu#1",
        "Relu#2",
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "b"]), st.sampled_from([None, "", "a", "a#0", "b/a#0", "Relu#0"]))))
def test_keys_are_unique_and_repeatable(placed: list[tuple[str, str | None]]) -> None:
    nodes = [(graph, node(name)) for graph, name in placed]
    keys = node_keys(nodes)
    assert len(set(keys)) == len(keys) == len(placed)
    assert keys == node_keys(nodes)
