"""Programs of modules on real exports: what changes them, where, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import pytest

from pytest_htp.describe.places import Places
from pytest_htp.describe.program import Programs


def programs(result: Any) -> dict[str, list[str]]:
    made = Programs(Places(result.tagging.graph), lambda dim: dim or None)
    return {path: made.of(path) for path in result.tagging.graph.modules}


def changed(result: Any, before: dict[str, list[str]]) -> list[str]:
    now = programs(result)
    return [path for path in before if before[path] != now[path]]


@contextmanager
def attribute(node: ir.Node, value: ir.Attr | None, name: str) -> Iterator[None]:
    before = node.attributes.pop(name, None)
    if value is not None:
        node.attributes[name] = value
    try:
        yield
    finally:
        node.attributes.pop(name, None)
        if before is not None:
            node.attributes[name] = before


@pytest.fixture
def cross(exported: Callable[..., Any]) -> Any:
    return exported("cross_attentions")


def node_in(result: Any, path: str, op_type: str) -> ir.Node:
    return next(facts.node for facts in result.of(op_type) if facts.path == path)


def test_a_module_reads_as_its_forward(cross: Any) -> None:
    lines = programs(cross)["layers.1"]
    assert "%3 = Softmax(%2; axis=-1)" in lines
    assert "call value(in1)" in lines
    assert lines[-1] == "%5 = Add(%4, in0)"


def test_repeated_layers_are_equal_and_their_calls_are_one_line(cross: Any) -> None:
    found = programs(cross)
    assert found["layers.0"] == found["layers.1"] == found["layers.2"]
    assert sum(line.startswith("call layers.") for line in found[""]) == 2  # the first reads the input


def test_exchanged_operands_change_their_module_and_only_where_order_counts(cross: Any) -> None:
    before = programs(cross)
    # What is read first is in0, so the root hands the layer the same values in another order: an echo.
    for op, expected in (("MatMul", ["", "layers.1"]), ("Add", [])):
        node = node_in(cross, "layers.1", op)
        first, second = node.inputs
        for pair in ((second, first), (first, second)):
            node.replace_input_with(0, pair[0])
            node.replace_input_with(1, pair[1])
            assert changed(cross, before) == (expected if pair[0] is second else [])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("axis", ir.AttrInt64("axis", 1), ["layers.1"]),
        ("axis", None, []),  # the last one by default, and as it was
        ("axis", ir.AttrInt64("axis", 2), []),
    ],
)
def test_attributes_count_by_what_they_mean(cross: Any, name: str, value: ir.Attr | None, expected: list[str]) -> None:
    before = programs(cross)
    with attribute(node_in(cross, "layers.1", "Softmax"), value, name):
        assert changed(cross, before) == expected


def test_a_kernel_shape_that_is_inferred_is_no_difference(exported: Callable[..., Any]) -> None:
    result = exported("convnet")
    before = programs(result)
    node = result.of("Conv")[0].node
    for shape in (None, ir.AttrInt64s("kernel_shape", list(node.inputs[1].shape)[2:])):
        with attribute(node, shape, "kernel_shape"):
            assert changed(result, before) == []


@pytest.mark.parametrize("name", ["cross_attentions", "nest", "branches"])
def test_the_order_of_independent_nodes_is_no_difference(exported: Callable[..., Any], name: str) -> None:
    result = exported(name)
    before = programs(result)
    graph = result.program.graph
    order = list(graph)
    generator = random.Random(3)
    try:
        for _ in range(4):
            _shuffle(graph, generator)
            made = Programs(Places(_reordered(result.tagging.graph)), lambda dim: dim or None)
            assert {path: made.of(path) for path in before} == before
    finally:
        for node in order:
            graph.remove(node)
            graph.append(node)


def _reordered(facts: Any) -> Any:
    """The facts of the same graph with its nodes in the graph's order of now."""
    place = {node: number for number, node in enumerate(facts.model.graph)}
    nodes = sorted(facts.nodes, key=lambda item: place.get(item.node, 0))
    copy = type(facts)(facts.model, facts.modules, facts.provenance, facts.shared_parameters)
    copy.__dict__["nodes"] = nodes
    return copy


def _shuffle(graph: ir.Graph, generator: random.Random) -> None:
    left, done = list(graph), set[ir.Node]()
    while left:
        ready = [
            node
            for node in left
            if all(value is None or value.producer() is None or value.producer() in done for value in node.inputs)
        ]
        node = generator.choice(ready)
        left.remove(node)
        done.add(node)
        graph.remove(node)
        graph.append(node)
