"""Small tagged graphs, and graphs made of them, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.tagger import Tagging

TAGS = {
    "": "/Net",
    "first": "/Net/Linear.first",
    "act": "/Net/ReLU.act",
    "last": "/Net/Linear.last",
}


def weight(name: str, seed: int, shape: Sequence[int] = (4, 4)) -> onnx.TensorProto:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def graph(
    nodes: Sequence[onnx.NodeProto], weights: Sequence[onnx.TensorProto], tags: Mapping[str, str] | None = None
) -> ir.Model:
    """A model with the input ``x`` and the output ``y`` of 2 by 4 floats.

    ``tags``: node name → module path; the evidence is ``direct``.
    """
    for node in nodes:
        if tags and node.name in tags:
            for key, value in (("tag", TAGS[tags[node.name]]), ("evidence", "direct")):
                node.metadata_props.append(onnx.StringStringEntryProto(key=f"htp.hierarchy.{key}", value=value))
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        weights,
    )
    return ir.from_proto(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)]))


WEIGHTS = [weight("first.weight", 1), weight("first.bias", 2, (4,)), weight("last.weight", 3)]


def tagged() -> Tagging:
    """MatMul and Add of ``first``, Relu of ``act``, MatMul of ``last``."""
    nodes = [
        helper.make_node("MatMul", ["x", "first.weight"], ["product"], "node_MatMul_1"),
        helper.make_node("Add", ["product", "first.bias"], ["sum"], "node_Add_2"),
        helper.make_node("Relu", ["sum"], ["active"], "node_Relu_3"),
        helper.make_node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4"),
    ]
    paths = {"node_MatMul_1": "first", "node_Add_2": "first", "node_Relu_3": "act", "node_MatMul_4": "last"}
    return read_tagging(graph(nodes, WEIGHTS, paths))
