"""Element types that a file does not say, by ONNX Runtime's own schemas of its operators."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from pytest_htp.carry.types import complete_types

# Types of the variables of a schema; tensor(float) and the like stand for themselves.
TYPES = [kind for kind in ir.DataType if kind not in (ir.DataType.UNDEFINED, ir.DataType.STRING)]


def made(schema: Any) -> tuple[ir.Node, dict[str, ir.DataType]]:
    """A node with all inputs, each type variable another type."""
    names = dict.fromkeys(each.typeStr for each in (*schema.inputs, *schema.outputs))
    types = dict(zip(names, TYPES, strict=False))
    inputs = [ir.Value(name=f"i{n}", type=ir.TensorType(types[each.typeStr])) for n, each in enumerate(schema.inputs)]
    return ir.Node(schema.domain, schema.name, inputs, num_outputs=len(schema.outputs)), types


def test_the_first_output_of_each_operator_has_the_type_that_its_schema_says_or_none() -> None:
    schemas = [schema for schema in ort.get_all_operator_schema() if schema.domain == "com.microsoft"]
    assert len(schemas) > 100
    wrong = []
    for schema in schemas:
        if not schema.inputs or not schema.outputs:
            continue
        node, types = made(schema)
        graph = ir.Graph(node.inputs, node.outputs, nodes=[node], opset_imports={"": 18, "com.microsoft": 1}, name="g")
        complete_types(ir.Model(graph, ir_version=10))
        told = node.outputs[0].dtype
        known = any(each.typeStr == schema.outputs[0].typeStr for each in schema.inputs)
        if told != (types[schema.outputs[0].typeStr] if known else None):
            wrong.append((schema.name, told))
    assert wrong == []
