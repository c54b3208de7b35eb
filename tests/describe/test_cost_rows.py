"""Which costs a record may hold: none that another batch or sequence length would change."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import pytest

from pytest_htp.describe.cost import Costs
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts
from pytest_htp.vocabulary import Cost, ModuleInfo

MODULES = {
    "": ModuleInfo("", "Net", "/Net", params_bytes=0, cost=Cost(30, 4, 12)),
    "a": ModuleInfo("a", "A", "/Net/A.a", params_bytes=8, cost=Cost(10, 0, 4)),
    "b": ModuleInfo("b", "B", "/Net/B.b", params_bytes=16, cost=Cost(20, 4, 8)),
    "drop": ModuleInfo("drop", "Dropout", "/Net/Dropout.drop", params_bytes=0, cost=Cost(0, 0, 8)),
}


def rows(before: Any, between: Any, body: bool = False) -> dict[str, dict[str, int]]:
    """Module ``a`` makes ``between`` of ``before``, ``b`` a constant-sized result of it."""
    x, y, z = (ir.Value(name=name, shape=None if dims is None else ir.Shape(dims))
               for name, dims in (("x", before), ("y", between), ("z", [2, 3])))  # fmt: skip
    attributes = [ir.AttrGraph("then_branch", ir.Graph([], [], nodes=[], name="then"))] if body else []
    nodes = [ir.Node("", "Relu", [x], outputs=[y]), ir.Node("", "If", [y], attributes, outputs=[z])]
    graph = GraphFacts(ir.Model(ir.Graph([x], [z], nodes=nodes, opset_imports={"": 20}), ir_version=10), MODULES)
    for facts, path in zip(graph.nodes, ("a", "b"), strict=True):
        facts.decide(Evidence.DIRECT, path, "test")
    costs = Costs(graph)
    return {path: costs.of(info) for path, info in MODULES.items()}


ALL = {
    "": {"flops": 30, "attention_flops": 4, "params_bytes": 0, "activation_bytes": 12},
    "a": {"flops": 10, "params_bytes": 8, "activation_bytes": 4},
    "b": {"flops": 20, "attention_flops": 4, "params_bytes": 16, "activation_bytes": 8},
    "drop": {"flops": 0, "params_bytes": 0, "activation_bytes": 8},
}


def only_parameters(*paths: str) -> dict[str, dict[str, int]]:
    return {path: {"params_bytes": row["params_bytes"]} if path in paths else row for path, row in ALL.items()}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        pytest.param(rows([2, 3], [2, 3]), ALL, id="constant"),
        pytest.param(rows(["2", 3], [2, "3"]), ALL, id="constants-written-as-symbols"),
        pytest.param(rows([2, 3], None), ALL, id="a-shape-nobody-wrote-in-a-constant-graph"),
        pytest.param(rows(["n", 3], ["n", 3]), only_parameters("", "a", "b", "drop"), id="dynamic"),
        pytest.param(rows(["n", 3], [2, 3]), only_parameters("", "a", "drop"), id="dynamic-in-one-module"),
        pytest.param(rows(["n", 3], None), only_parameters("", "a", "b", "drop"), id="unknown-after-dynamic"),
        pytest.param(rows([2, 3], ["u0", 3]), only_parameters("", "a", "b", "drop"), id="sized-by-values"),
        pytest.param(rows([2, 3], [2, 3], body=True), only_parameters("", "b", "drop"), id="control-flow"),
    ],
)
def test_what_is_kept(graph: dict[str, dict[str, int]], expected: dict[str, dict[str, int]]) -> None:
    assert graph == expected
