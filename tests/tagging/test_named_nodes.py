"""Messages of onnx and ONNX Runtime lead to nodes and their modules."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from pytest_htp.tagging.named import described, node_named_in
from pytest_htp.tagging.tagger import Tagging, tag_graph
from pytest_htp.vocabulary import ModuleInfo


@pytest.fixture
def tagging() -> Tagging:
    """An If around a Gemm, a second Gemm, an operator of another domain, one without name."""
    x = ir.Value(name="x")
    inner = ir.Node("", "Gemm", [x, None], outputs=[ir.Value(name="z")], name="node_linear")
    body = ir.Graph([], inner.outputs, nodes=[inner])
    nodes = [
        ir.Node("", "If", [x], [ir.AttrGraph("then_branch", body)], outputs=[ir.Value(name="c")], name="cond"),
        ir.Node("", "Gemm", [ir.Value(name="w")], outputs=[ir.Value(name="y"), ir.Value(name=None)], name="n,2"),
        ir.Node("", "Swish", [], name="plain"),
        ir.Node("com.acme", "Swish", [], name="swish"),
        ir.Node("", "Relu", [ir.Value(name="y2")], outputs=[ir.Value(name="last")]),
    ]
    modules = {
        "": ModuleInfo("", "Net", "/Net"),
        "up": ModuleInfo("up", "Linear", "/Net/Linear.up"),
    }
    graph = ir.Graph([x], [], nodes=nodes)
    nodes[-1].name = None
    tagging = tag_graph(ir.Model(graph, ir_version=10), modules)
    for facts, path in zip(tagging.nodes, ("", "up"), strict=False):
        facts.path = path
    return tagging


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("(op_type:If, node name: cond): (op_type:Gemm, node name: node_linear): Incompatible", "node_linear"),
        ("Nodes must be sorted, however input 'z' of node: name: cond OpType: Gemm is not output", "cond"),
        ("Node (node_linear) Op (Gemm) [TypeInferenceError] Inferred elem type", "node_linear"),
        ("Non-zero status code returned while running Gemm node. Name:'swish' Status Message: no", "swish"),
        ("of node swish.", "swish"),
        ("Graph must be in SSA form, however 'y' has been used as output names", "n,2"),
        ('Nodes in a graph must be sorted, "w" is not output of any', "n,2"),
        ("com.acme:Swish(-1) is not a registered function/op", "swish"),
        ("No Op registered: Swish(18) is not a registered function/op", "plain"),
        ("com.acme:Gelu(1) is not a registered function/op; 'y'", None),
        ("something about nothing", None),
        ("", None),
    ],
)  # fmt: skip
def test_messages_lead_to_nodes(tagging: Tagging, text: str, operator: str | None) -> None:
    found = node_named_in(text, tagging)
    assert (found.node.name if found else None) == operator


def test_nodes_are_described_by_module(tagging: Tagging) -> None:
    assert [described(facts, tagging) for facts in tagging.nodes[:2]] == [
        "node cond (If) of the root module (Net)",
        "node node_linear (Gemm) of module up (Linear)",
    ]
    assert described(tagging.nodes[-1], tagging) == "node Relu#0 (Relu), which no module is known for"
