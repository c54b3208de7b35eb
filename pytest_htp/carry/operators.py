"""What operator names say without knowing who made the graph."""

from __future__ import annotations

import onnx_ir as ir

# Operators that change how a tensor is stored, never what it says: element type, precision, memory layout.
_STORAGE = frozenset(
    {
        "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Transpose",
        "ReorderInput", "ReorderOutput", "Identity", "MemcpyFromHost", "MemcpyToHost",
    }
)  # fmt: skip
# Operators that only change a shape: wrapped around an operator of another rank (Reshape, Gemm, Reshape for a
# MatMul with bias), they are part of its new form.
_SHAPE = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def operator(node: ir.Node) -> tuple[str, str]:
    """Domain and operator, ONNX's own domain by its short name."""
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type


def initializers(model: ir.Model) -> list[ir.Value]:
    """The stored constants of a model, those of bodies too."""
    return [value for graph in model.graphs() for value in graph.initializers.values()]


def stored(value: ir.Value | None) -> ir.Value | None:
    """The stored constant that a value is, straight or by another name; None where a node makes it of others."""
    while value is not None and (maker := value.producer()) is not None and maker.op_type == "Identity":
        value = maker.inputs[0]
    if value is None or value.is_initializer():
        return value
    return value if maker is not None and maker.op_type == "Constant" else None


def converts_storage(node: ir.Node) -> bool:
    """Whether a node says the same in another element type, precision or layout."""
    return node.op_type in _STORAGE


def converts(node: ir.Node) -> bool:
    """Whether a node computes nothing: it converts, or only changes a shape."""
    return node.op_type in _STORAGE or node.op_type in _SHAPE


def extends(node: ir.Node, original: ir.Node) -> bool:
    """Whether a node's operator is the original's in another form: ``QLinearConv``, ``MatMulInteger``,
    ``SkipLayerNormalization``; the name of the one is part of the name of the other.
    """
    return original.op_type in node.op_type


def reshapes(node: ir.Node) -> bool:
    """Whether a node only changes a shape."""
    return node.op_type in _SHAPE


def does_the_same(node: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes of an operator do the same with as many inputs, by their attributes."""
    return len(node.inputs) == len(other.inputs) and _plain(node) == _plain(other)


def _plain(node: ir.Node) -> dict[str, object]:
    tensors = (ir.AttributeType.TENSOR, ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return {name: attr.value for name, attr in node.attributes.items() if attr.type not in tensors}
