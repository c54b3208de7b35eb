"""What a graph says of its nodes and values: owners of weights, common modules, neighbours, bodies, origins."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from pytest_htp.capture.marks import ORIGIN_KEY
from pytest_htp.capture.program import GENERATED, Frame, FxOrigin
from pytest_htp.capture.provenance import Provenance
from pytest_htp.tagging.embed import SUFFIXES, strip_tags
from pytest_htp.tagging.facts import GraphFacts, bodies_of
from pytest_htp.tagging.passes import ExportedProgramPass, RecordedStackPass
from pytest_htp.tagging.tagger import tag_graph
from pytest_htp.vocabulary import ModuleInfo

MODULES = {
    "": ModuleInfo(path="", class_name="Root", tag="/Root"),
    "a": ModuleInfo(path="a", class_name="A", tag="/Root/A.a"),
    "a.x": ModuleInfo(path="a.x", class_name="X", tag="/Root/A.a/X.x"),
    "a.y": ModuleInfo(path="a.y", class_name="Y", tag="/Root/A.a/Y.y"),
    "b": ModuleInfo(path="b", class_name="B", tag="/Root/B.b"),
}
FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"


def model(*nodes: ir.Node) -> ir.Model:
    return ir.Model(ir.Graph([], [], nodes=nodes), ir_version=10)


def facts(
    *nodes: ir.Node, provenance: Provenance | None = None, parameters: dict[str, tuple[str, ...]] | None = None
) -> GraphFacts:
    return GraphFacts(model(*nodes), MODULES, provenance, parameters or {})


def weight(name: str | None, folded_from: object = None) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.zeros(2, "f4")))
    if folded_from is not None:
        value.meta[FOLDED_FROM] = folded_from
    return value


PARAMETERS = {name: (name,) for name in ("a.w", "a.x.w", "a.y.w", "b.w")} | {
    "a.tied": ("a.tied", "b.tied"), "b.tied": ("a.tied", "b.tied")}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (weight("a.w"), {"a.w"}),
        (weight("a.tied"), {"a.tied", "b.tied"}),
        (weight("val_1"), set()),
        (weight(None), set()),
        (ir.Value(name="a.w"), set()),
        (weight("val_1", {"a.x.w", "val_0"}), {"a.x.w"}),
        (weight("val_1", frozenset({"b.tied"})), {"a.tied", "b.tied"}),
        (weight("val_1", "a.x.w"), set()),
        (weight("a.y.w", {"a.x.w"}), {"a.x.w", "a.y.w"}),
        (weight("kept"), {"a.x.w", "a.tied", "b.tied"}),
    ],
    ids=["own", "tied", "constant", "unnamed", "no weight", "folded", "folded tie", "no names", "both", "merged"],
)
def test_parameters_behind_an_initializer(value: ir.Value, names: set[str]) -> None:
    seen = Provenance(merged_initializers={"a.x.w": "kept", "b.tied": "kept", "b.w": "other"})
    assert facts(provenance=seen, parameters=PARAMETERS).parameter_names(value) == names
    if value.name != "kept":
        assert facts(parameters=PARAMETERS).parameter_names(value) == names


def test_owners_are_modules_of_the_model() -> None:
    graph = facts(parameters={name: (name,) for name in ("a.w", "gone.w", "w")})
    assert graph.owners(weight("val", {"a.w", "gone.w"})) == {"a"}
    assert graph.owners(weight("w")) == {""}
    assert graph.owner_of("a.x.parametrizations.weight.original0") == "a.x"
    assert graph.owner_of("parametrizations.weight.original0") == ""
    assert graph.owner_of("gone.w") is None


@pytest.mark.parametrize(
    ("paths", "common"),
    [
        (["a.x"], "a.x"),
        (["a.x", "a.x"], "a.x"),
        (["a.x", "a.y"], "a"),
        (["a", "a.y"], "a"),
        (["a.x", "b"], ""),
        (["", "b"], ""),
    ],
)
def test_the_deepest_common_module(paths: list[str], common: str) -> None:
    assert facts().deepest_common(paths) == common
    assert facts().deepest_common(reversed(paths)) == common


def test_siblings_are_of_one_graph_in_order() -> None:
    inner = [ir.Node("", "Relu", [], name=f"inner{index}") for index in range(2)]
    body = ir.Graph([], inner[-1].outputs, nodes=inner)
    nodes = [ir.Node("", "Relu", [], name="first"), ir.Node("", "If", [], [ir.AttrGraph("then_branch", body)])]
    graph = facts(*nodes)
    assert [(len(graph.siblings[node][0]), graph.siblings[node][1]) for node in (*nodes, *inner)] == [
        (2, 0), (2, 1), (2, 0), (2, 1)]  # fmt: skip
    assert graph.siblings[inner[0]][0][1].node is inner[1]
    assert {label.graph for label in graph.nodes} == {"", "body"}
    assert graph.graphs == [graph.model.graph, body]
    assert graph.runners == {id(body): graph.by_node[nodes[1]]}


def test_bodies_of_functions_have_their_runners_too() -> None:
    body = ir.Graph([], [], nodes=[ir.Node("", "Relu", [])])
    branch = ir.Node("", "If", [], [ir.AttrGraph("then_branch", body)])
    whole = model(ir.Node("local", "f", []))
    local = ir.Function("local", "f", graph=ir.Graph([], [], nodes=[branch]), attributes=[])
    whole.functions[local.identifier()] = local
    graph = GraphFacts(whole, MODULES)
    assert graph.runners == {id(body): graph.by_node[branch]}
    assert facts(ir.Node("", "Relu", [])).runners == {}


def test_bodies_of_an_attribute() -> None:
    body, other = ir.Graph([], [], nodes=[]), ir.Graph([], [], nodes=[])
    assert bodies_of(ir.AttrGraph("then_branch", body)) == (body,)
    assert bodies_of(ir.AttrGraphs("bodies", [body, other])) == (body, other)
    assert bodies_of(ir.RefAttr("then_branch", "outer", ir.AttributeType.GRAPH)) == ()
    assert bodies_of(ir.AttrInt64("axis", 1)) == ()


def test_tags_are_stripped_wherever_nodes_live() -> None:
    def tagged() -> ir.Node:
        return ir.Node("", "Relu", [], metadata_props={f"{space}.{each}": "1" for each in SUFFIXES for space in "pq"})

    inner, function = tagged(), tagged()
    branch = ir.Node("", "If", [], [ir.AttrGraph("then_branch", ir.Graph([], [], nodes=[inner]))])
    whole = model(tagged(), branch)
    local = ir.Function("local", "f", graph=ir.Graph([], [], nodes=[function]), attributes=[])
    whole.functions[local.identifier()] = local
    strip_tags(whole, "p")
    for node in (whole.graph[0], inner, function):
        assert {*node.metadata_props} == {f"q.{each}" for each in SUFFIXES}


def origin(path: str, *, call: int = 0, rule: str = "program", replayed: bool = False) -> FxOrigin:
    chain = {"": [""], "a": ["", "a"], "a.x": ["", "a", "a.x"], "b": ["", "b"], "gone": ["", "gone"]}[path]
    frames = tuple(Frame(each, "", call) for each in chain)
    return FxOrigin("", path, "aten.relu", frames, rule=rule, replayed=replayed)


def recorded(path: str, mark: str) -> ir.Node:
    """A node with a recorded stack (of ``path``, not its parents) and a mark."""
    metadata = {
        "pkg.torch.onnx.name_scopes": f"['', '{path}', 'n']",
        "pkg.torch.onnx.class_hierarchy": f"['m.Root', 'm.{MODULES[path].class_name}', 'aten.relu']",
        ORIGIN_KEY: mark,
    }
    return ir.Node("", "Relu", [], metadata_props=metadata)


def test_a_node_is_replayed_where_all_its_origins_are() -> None:
    seen = Provenance(origins=[origin("a", replayed=True), origin("b", replayed=True), origin("b")])
    nodes = [ir.Node("", "Relu", [], metadata_props={ORIGIN_KEY: mark}) for mark in ("0", "0,1", "0,2", "2", "")]
    graph = facts(*nodes, provenance=seen)
    assert [graph.is_replayed(node) for node in graph.nodes] == [True, True, False, False, False]
    graph.provenance = None
    assert not any(map(graph.is_replayed, graph.nodes))


def test_a_node_without_mark_goes_by_the_names_of_its_values() -> None:
    seen = Provenance(origins=[origin("a", call=2), origin("gone"), origin("b", rule="body")])
    seen.marks_by_value = {"first": "0", "second": "2", "foreign": "1", "both": "2,0"}

    def placed(*outputs: str | None) -> tuple[str | None, str | None, int | None]:
        node = ir.Node("", "Split", [], outputs=[ir.Value(name=name) for name in outputs])
        graph = facts(node, provenance=seen)
        ExportedProgramPass().run(graph)
        return graph.nodes[0].path, graph.nodes[0].rule, graph.nodes[0].call

    assert placed("first") == ("a", "program", 2)
    assert placed(None, "unknown", "second") == ("b", "body", 0)
    assert placed("second", "first") == ("b", "body", 0)
    assert placed("both") == ("b", "body", 0)
    assert placed("foreign") == placed("unknown") == (None, None, None)


def test_a_recorded_stack_is_direct_where_joins_were_seen() -> None:
    for unobserved, evidence in (([], "direct"), (["x.y"], "direct"), (["m.Value.replace_all_uses_with"], "inferred")):
        seen = Provenance(unobserved=unobserved, origins=[origin("a", call=3), origin("a", call=1), origin("b")])
        graph = facts(recorded("a", "0,1,2"), recorded("a", "2"), recorded("a", ""), provenance=seen)
        RecordedStackPass().run(graph)
        assert [(node.evidence, node.path, node.recorded, node.rule, node.call) for node in graph.nodes] == [
            (evidence, "a", "a", "recorded", 1),
            (evidence, "a", "a", "recorded", None),
            (evidence, "a", "a", "recorded", None),
        ]


@pytest.mark.parametrize(
    ("origins", "path"),
    [
        ([("a.x", GENERATED)], "a.x"),
        ([("a.x", "program")], "a"),
        ([("a", GENERATED)], "a"),
        ([("b", GENERATED)], "a"),
        ([("a.x", GENERATED), ("a", "program")], "a"),
        ([], "a"),
    ],
)
def test_a_stack_that_goes_on_in_generated_code_is_left_to_the_program(
    origins: list[tuple[str, str]], path: str
) -> None:
    seen = Provenance(origins=[origin(name, rule=rule) for name, rule in origins])
    graph = facts(recorded("a", ",".join(map(str, range(len(origins))))), provenance=seen)
    for each in (RecordedStackPass(), ExportedProgramPass()):
        each.run(graph)
    (node,) = graph.nodes
    assert (node.path, node.evidence) == (path, "inferred" if path == "a.x" else "direct")


def test_details_tell_origins_and_causes() -> None:
    seen = Provenance(origins=[origin("a"), origin("b")])
    node = ir.Node("com.acme", "Swish", [], name="n", metadata_props={ORIGIN_KEY: "1,0"})
    tagging = tag_graph(model(node, ir.Node("", "Relu", [], name="m")), MODULES, seen)
    fused, lost = tagging.nodes
    fused.stands_for, lost.cause = ("k",), "why"
    common = {"domain": "", "graph": "", "call": None}
    assert tagging.details == {
        "n": {**common, "op_type": "Swish", "domain": "com.acme", "evidence": "fused", "rule": "common",
              "origins": ["a", "b"], "stands_for": ["k"]},
        "m": {**common, "op_type": "Relu", "evidence": "none", "rule": None, "origins": [], "cause": "why"},
    }  # fmt: skip
    assert tagging.tags == {"n": "/Root"}
    assert tagging.coverage.root_share == 50
    assert tag_graph(model(recorded("a", "")), MODULES).coverage.root_share == 0
