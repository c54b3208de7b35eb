"""What a body of control flow, or a function, is given: its formal inputs, in words."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from pytest_htp.describe.operands import plain_operator
from pytest_htp.format.program import plain_name
from pytest_htp.tagging.facts import GraphFacts, NodeFacts, bodies_of


def formal_inputs(graph: GraphFacts) -> Iterator[tuple[ir.Value, tuple[NodeFacts | None, str]]]:
    """Values that a body or function is given → (the node that runs it, words)."""
    for facts in {facts.node: facts for facts in graph.runners.values()}.values():
        for name, attr in facts.node.attributes.items():
            for body in bodies_of(attr):
                head = f"{plain_operator(facts.node)}{_nesting(graph, facts)}.{name}"
                for place, value in enumerate(body.inputs):
                    yield value, (facts, f"{head}.in{place}")
    for function in graph.model.functions.values():
        for place, value in enumerate(function.inputs):
            yield value, (None, f"{plain_name(function.name)}.in{place}")


def _nesting(graph: GraphFacts, facts: NodeFacts) -> str:
    """``#1`` for a loop in a loop: both have a counter and states, which its body can read."""
    depth, runner = 0, graph.runners.get(id(facts.node.graph))
    while runner is not None:
        depth += runner.node.op_type == facts.node.op_type
        runner = graph.runners.get(id(runner.node.graph))
    return f"#{depth}" if depth else ""
