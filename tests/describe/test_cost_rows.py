"""Which costs a record may hold: none that another batch or sequence length would change."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import pytest

from pytest_htp.describe.cost import Costs
from pytest_htp.describe.places import Places
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts
from pytest_htp.vocabulary import Cost, ModuleInfo

MODULES = {
    "": ModuleInfo("", "Net", "/Net", params_bytes=0, cost=Cost(30, 4, 12)),
    "a": ModuleInfo("a", "A", "/Net/A.a", params_bytes=8, cost=Cost(10, 0, 4)),
    "b": ModuleInfo("b", "B", "/Net/B.b", params_bytes=16, cost=Cost(20, 4, 8)),
    "drop": ModuleInfo("drop", "Dropout", "/Net/Dropout.drop", params_bytes=0, cost=Cost(0, 0, 8)),
}


def kept(before: Any, between: Any, body: bool = False) -> list[str]:
    """Module ``a`` makes ``between`` of ``before``, ``b`` a constant-sized result of it."""
    x, y, z = (ir.Value(name=name, shape=None if dims is None else ir.Shape(dims))
               for name, dims in (("x", before), ("y", between), ("z", [2, 3])))  # fmt: skip
    attributes = [ir.AttrGraph("then_branch", ir.Graph([], [], nodes=[], name="then"))] if body else []
    nodes = [ir.Node("", "Relu", [x], outputs=[y]), ir.Node("", "If", [y], attributes, outputs=[z])]
    graph = GraphFacts(ir.Model(ir.Graph([x], [z], nodes=nodes, opset_imports={"": 20}), ir_version=10), MODULES)
    for facts, path in zip(graph.nodes, ("a", "b"), strict=True):
        facts.decide(Evidence.DIRECT, path, "test")
    costs = Costs(Places(graph))
    unknown = [path for path, info in MODULES.items() if costs.of(info) == Cost()]
    assert all(costs.of(info).flops == info.cost.flops for path, info in MODULES.items() if path not in unknown)
    return [path for path in MODULES if path not in unknown]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        pytest.param(kept([2, 3], [2, 3]), [*MODULES], id="constant"),
        pytest.param(kept(["2", 3], [2, "3"]), [*MODULES], id="constants-written-as-symbols"),
        pytest.param(kept([2, 3], None), [*MODULES], id="a-shape-nobody-wrote-in-a-constant-graph"),
        pytest.param(kept(["n", 3], ["n", 3]), [], id="dynamic"),
        pytest.param(kept(["n", 3], [2, 3]), ["b"], id="dynamic-in-one-module"),
        pytest.param(kept(["n", 3], None), [], id="unknown-after-dynamic"),
        pytest.param(kept([2, 3], ["u0", 3]), [], id="sized-by-values"),
        pytest.param(kept([2, 3], [2, 3], body=True), ["a"], id="control-flow"),
    ],
)
def test_what_is_kept(graph: list[str], expected: list[str]) -> None:
    assert graph == expected
