"""The data-flow rules, one by one, on graphs small enough to draw."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.passes import (
    DataFlowPass,
    ExportedProgramPass,
    FusedOriginsPass,
    RecordedStackPass,
    default_passes,
)
from pytest_htp.vocabulary import ModuleInfo

MODULES = {
    "": ModuleInfo(path="", class_name="Root", tag="/Root"),
    "a": ModuleInfo(path="a", class_name="A", tag="/Root/A.a"),
    "a.x": ModuleInfo(path="a.x", class_name="X", tag="/Root/A.a/X.x"),
    "a.y": ModuleInfo(path="a.y", class_name="Y", tag="/Root/A.a/Y.y"),
}


def chain(*known: str | None, inputs: bool = True) -> GraphFacts:
    """A chain of nodes from a graph input to a graph output; a path for each, None where unknown."""
    value = start = ir.Value(name="in")
    nodes = []
    for _ in known:
        nodes.append(ir.Node("", "Relu", [value] if value is not None else []))
        value = nodes[-1].outputs[0]
    graph = ir.Graph([start], [value], nodes=nodes)
    facts = GraphFacts(ir.Model(graph, ir_version=10), MODULES)
    for node, path in zip(facts.nodes, known, strict=True):
        if path is not None:
            node.decide(Evidence.DIRECT, path, "recorded")
    return facts


def placed(facts: GraphFacts) -> list[tuple[str | None, str | None]]:
    lost = list(facts.undecided())
    DataFlowPass().run(facts)
    return [(node.path, node.rule) for node in lost]


def test_strongest_evidence_comes_first() -> None:
    order = [type(each) for each in default_passes()]
    assert order == [RecordedStackPass, FusedOriginsPass, ExportedProgramPass, DataFlowPass]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (["a.x", None, "a.x"], [("a.x", "neighbours")]),
        (["a.x", None, None, "a.x"], [("a.x", "neighbours")] * 2),
        (["a.x", None, "a.y"], [("a", "between")]),
        (["a.x", None, None, "a.y"], [("a", "between")] * 2),
        (["a.x", "a.x", None], [("", "between")]),
        ([None, "a.x"], [("", "between")]),
        ([None, ""], [("", "neighbours")]),
        (["a.x", *[None] * 16, "a.x"], [("a.x", "neighbours")] * 16),
        (["a.x", *[None] * 17, "a.x"], [(None, None)] * 17),
    ],
)
def test_rules_on_a_chain(known: list[str | None], expected: list[tuple[str, str]]) -> None:
    assert placed(chain(*known)) == expected


def test_order_needs_the_same_module_on_both_sides() -> None:
    x = ir.Value(name="in")
    first, lost, last = ir.Node("", "Relu", [x]), ir.Node("", "Shape", [x]), ir.Node("", "Relu", [x])
    reader = ir.Node("", "Add", [lost.outputs[0], last.outputs[0]])
    facts = GraphFacts(
        ir.Model(ir.Graph([x], [reader.outputs[0]], nodes=[first, lost, last, reader]), ir_version=10),
        MODULES,
    )
    for node, path in zip(facts.nodes, ("a.y", None, "a.y", "a.x"), strict=True):
        if path is not None:
            node.decide(Evidence.DIRECT, path, "recorded")
    assert placed(facts) == [("a.y", "order")]


def test_what_feeds_one_undecided_node_is_placed_with_it() -> None:
    known = [ir.Node("", "Relu", []) for _ in range(2)]
    lost = [ir.Node("", "Neg", [node.outputs[0]]) for node in known]
    lost.append(ir.Node("", "Add", [None, *(node.outputs[0] for node in lost)]))
    last = ir.Node("", "Relu", lost[-1].outputs)
    facts = GraphFacts(ir.Model(ir.Graph([], last.outputs, nodes=[*known, *lost, last]), ir_version=10), MODULES)
    for node, path in zip((*known, last), ("a.x", "a.y", "a.x"), strict=True):
        facts.by_node[node].decide(Evidence.DIRECT, path, "recorded")
    assert placed(facts) == [("a", "between")] * 3


@pytest.mark.parametrize("count", [1, 3])
def test_a_graph_that_lost_everything_stays_undecided(count: int) -> None:
    assert placed(chain(*[None] * count)) == [(None, None)] * count


def in_a_body(*known: str | None, runner: str | None = "a") -> tuple[GraphFacts, list[NodeFacts]]:
    """An ``If`` in the root's graph whose body is a chain of nodes without outside inputs."""
    condition = ir.Value(name="condition")
    nodes: list[ir.Node] = []
    for _ in known:
        nodes.append(ir.Node("", "Relu" if nodes else "Constant", [nodes[-1].outputs[0]] if nodes else []))
    body = ir.Graph([], [nodes[-1].outputs[0]], nodes=nodes, name="then")
    branch = ir.Node("", "If", [condition], [ir.AttrGraph("then_branch", body)])
    facts = GraphFacts(ir.Model(ir.Graph([condition], branch.outputs, nodes=[branch]), ir_version=10), MODULES)
    for node, path in zip(facts.nodes, (runner, *known), strict=True):
        if path is not None:
            node.decide(Evidence.DIRECT, path, "recorded")
    return facts, facts.nodes[1:]


def test_a_body_belongs_to_the_module_that_runs_it() -> None:
    facts, body = in_a_body(None, None)
    assert {node.graph for node in body} == {"then"}
    assert placed(facts) == [("a", "body")] * 2


def test_a_body_of_an_unknown_runner_stays_undecided() -> None:
    facts, _ = in_a_body(None, runner=None)
    assert placed(facts) == [(None, None)] * 2


def test_a_body_s_output_is_no_output_of_the_root() -> None:
    facts, _ = in_a_body("a.x", None)
    assert placed(facts) == [("a", "body")]
