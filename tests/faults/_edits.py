"""What regressions of exporters did to graphs, as edits of a graph that a real exporter returned."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from pytest_htp.capture.marks import ORIGIN_KEY

_SCOPES = "pkg.torch.onnx.name_scopes"


def nodes_in(model: ir.Model, scope: str, op: str | None = None) -> list[ir.Node]:
    """Nodes whose recorded innermost module is ``scope``, of one operator or all."""
    found = [node for node in model.graph if op in (None, node.op_type) and _scopes(node)[-2:-1] == [scope]]
    assert found, f"no {op or 'node'} in {scope}: {sorted({tuple(_scopes(node)[-2:-1]) for node in model.graph})}"
    return found


def _scopes(node: ir.Node) -> list[str]:
    text = node.metadata_props.get(_SCOPES)
    return list(ast.literal_eval(text)) if text else []


def append(node: ir.Node, *ops: str, dtype: ir.DataType | None = None, **attributes: Any) -> list[ir.Node]:
    """Put unary operators behind a node's first output, recorded as part of the same module."""
    assert node.graph is not None
    old = node.outputs[0]
    consumers = list(old.uses())
    value, made = old, []
    for number, op in enumerate(ops):
        fresh = ir.node(op, [value], attributes=attributes or None, metadata_props=dict(node.metadata_props))
        fresh.name = f"{node.name}_{op}_{number}"
        fresh.outputs[0].name = f"{old.name}_{op}_{number}"
        fresh.outputs[0].dtype = dtype or old.dtype
        fresh.outputs[0].shape = old.shape
        node.graph.insert_after(made[-1] if made else node, fresh)
        made.append(fresh)
        value = fresh.outputs[0]
    for consumer, index in consumers:
        consumer.replace_input_with(index, value)
    _keep_output_name(node, old, value)
    return made


def _keep_output_name(node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    for place, output in enumerate(graph.outputs):
        if output is old:
            old.name, new.name = f"{old.name}_inner", old.name
            graph.outputs[place] = new


def constant(model: ir.Model, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
    """A new initializer."""
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape)
    model.graph.initializers[name] = value
    return value


def cast_around(node: ir.Node, dtype: ir.DataType) -> None:
    """Compute a node in another precision: Cast before its float inputs, Cast back behind it."""
    graph = node.graph
    assert graph is not None
    own = node.outputs[0].dtype
    assert own is not None
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype != own:
            continue
        before = ir.node("Cast", [value], attributes={"to": dtype.value}, metadata_props=dict(node.metadata_props))
        before.name = f"{node.name}_to_{index}"
        before.outputs[0].name = f"{value.name}_to_{index}"
        before.outputs[0].dtype, before.outputs[0].shape = dtype, value.shape
        graph.insert_before(node, before)
        node.replace_input_with(index, before.outputs[0])
    append(node, "Cast", dtype=own, to=own.value)
    node.outputs[0].dtype = dtype


def rename(value: ir.Value, name: str) -> None:
    value.name = name


def forget(nodes: Iterable[ir.Node], *, also_names: bool = True) -> None:
    """Drop everything that was recorded of nodes, and their names, as a rewrite that makes them anew does."""
    for number, node in enumerate(list(nodes)):
        node.metadata_props.clear()
        node.meta.pop("node", None)
        node.metadata_props[ORIGIN_KEY] = ""
        if also_names:
            node.name = f"rewritten_{number}"
            for output in node.outputs:
                if not output.is_graph_output():
                    output.name = f"rewritten_{node.op_type}_{number}"


def record_as(nodes: Iterable[ir.Node], other: ir.Node) -> None:
    """Give nodes what was recorded of another one: the wrong module call stack."""
    for node in nodes:
        node.metadata_props.clear()
        node.metadata_props.update(other.metadata_props)
        node.meta.update(other.meta)


# The regressions themselves. Each takes a graph as it should be and leaves it as the broken exporter would.


def lose_axis_names(model: ir.Model) -> None:
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        names = {"batch": "s0", "length": "s1"}
        value.shape = ir.Shape([names.get(str(dim), dim) if not isinstance(dim, int) else dim for dim in value.shape])


def swap_output_names(model: ir.Model) -> None:
    """Only outputs of the same type and rank can be mislabelled unnoticed; others are noticed by those."""
    first, second = model.graph.outputs[:2]
    first.name, second.name = second.name, first.name


def swap_outputs(model: ir.Model) -> None:
    outputs = model.graph.outputs
    outputs[0], outputs[1] = outputs[1], outputs[0]


def double_output(model: ir.Model) -> None:
    node = model.graph.outputs[0].producer()
    assert node is not None
    append(node, "Cast", dtype=ir.DataType.DOUBLE, to=ir.DataType.DOUBLE.value)


def unrelated_axis(model: ir.Model) -> None:
    output = model.graph.outputs[0]
    assert output.shape is not None
    output.shape = ir.Shape(["unk__0", *output.shape[1:]])


def vendor_gelu(model: ir.Model) -> None:
    (node,) = nodes_in(model, "blocks.1.feed.act", "Gelu")
    node.domain = "com.microsoft"
    model.graph.opset_imports["com.microsoft"] = 1


def fold_ones(model: ir.Model) -> None:
    """The addend that ConstantOfShape would make is stored."""
    node = nodes_in(model, "blocks.1", "Add")[0]
    ones = constant(model, "ones_like_folded", np.ones((64, 2, 4, 32), np.float32))
    node.replace_input_with(1, ones)


def copy_weight(model: ir.Model) -> None:
    second = nodes_in(model, "mix")[-1]
    for index, value in enumerate(second.inputs):
        if value is not None and value.name == "mix.weight":
            assert value.const_value is not None
            second.replace_input_with(index, constant(model, "mix.weight_1", value.const_value.numpy().copy()))


def fold_tied(model: ir.Model) -> None:
    """``Gemm(transB=1)`` on the shared weight becomes ``Gemm`` on a transposed copy."""
    (node,) = nodes_in(model, "head")
    shared = node.inputs[1]
    assert shared is not None
    assert shared.const_value is not None
    copy = constant(model, "val_folded", np.ascontiguousarray(shared.const_value.numpy().T))
    copy.meta["pkg.onnxscript.optimizer.folded_from"] = {shared.name}
    node.replace_input_with(1, copy)
    node.attributes.pop("transB", None)


def half_weight(model: ir.Model) -> None:
    (node,) = nodes_in(model, "blocks.1.feed.up", "MatMul")
    value = node.inputs[1]
    assert value is not None
    assert value.const_value is not None
    assert value.name is not None
    half = ir.tensor(value.const_value.numpy().astype(np.float16), name=value.name)
    value.const_value, value.dtype = half, ir.DataType.FLOAT16
    cast = ir.node(
        "Cast", [value], attributes={"to": ir.DataType.FLOAT.value}, metadata_props=dict(node.metadata_props)
    )
    cast.name, cast.outputs[0].name = f"{node.name}_decompress", f"{value.name}_decompressed"
    cast.outputs[0].dtype, cast.outputs[0].shape = ir.DataType.FLOAT, value.shape
    model.graph.insert_before(node, cast)
    node.replace_input_with(1, cast.outputs[0])


def guard_softmax(model: ir.Model) -> None:
    zero = constant(model, "softmax_zero", np.zeros((), np.float32))
    for block in range(3):
        (node,) = nodes_in(model, f"blocks.{block}.attention.softmax", "Softmax")
        (nan,) = append(node, "IsNaN", dtype=ir.DataType.BOOL)
        graph = model.graph
        guard = ir.node("Where", [nan.outputs[0], zero, node.outputs[0]], metadata_props=dict(node.metadata_props))
        guard.name, guard.outputs[0].name = f"{node.name}_guard", f"{node.name}_guarded"
        guard.outputs[0].dtype, guard.outputs[0].shape = ir.DataType.FLOAT, node.outputs[0].shape
        for consumer, index in list(nan.outputs[0].uses()):
            consumer.replace_input_with(index, guard.outputs[0])
        guard.replace_input_with(0, nan.outputs[0])
        graph.insert_after(nan, guard)


def one_reshape(model: ir.Model) -> None:
    _reshapes(model, 1)


def reshape_chain(model: ir.Model) -> None:
    _reshapes(model, 6)


def _reshapes(model: ir.Model, count: int) -> None:
    node = nodes_in(model, "blocks.1.attention", "Div")[0]
    shape = constant(model, "reshape_to", np.array([2, 4, 4], np.int64))
    for reshape in append(node, *["Reshape"] * count):
        reshape.resize_inputs(2)
        reshape.replace_input_with(1, shape)


def exchange_inputs(model: ir.Model) -> None:
    """The scores read the value projection, the mixture the key projection."""
    (key,), (value,) = (nodes_in(model, f"blocks.1.attention.{name}", "Add") for name in ("key", "value"))
    key_uses, value_uses = list(key.outputs[0].uses()), list(value.outputs[0].uses())
    for consumer, index in key_uses:
        consumer.replace_input_with(index, value.outputs[0])
    for consumer, index in value_uses:
        consumer.replace_input_with(index, key.outputs[0])


def casts_around_div(model: ir.Model) -> None:
    for block in range(3):
        cast_around(nodes_in(model, f"blocks.{block}.attention", "Div")[0], ir.DataType.DOUBLE)


def forget_everything(model: ir.Model) -> None:
    forget(model.graph)


def forget_layer(model: ir.Model) -> None:
    forget(nodes_in(model, "blocks.1.attention"))


def scope_left_out(model: ir.Model) -> None:
    for block in range(3):
        (node,) = nodes_in(model, f"blocks.{block}.feed.act", "Gelu")
        add = nodes_in(model, f"blocks.{block}", "Add")[-1]
        record_as([node], add)


def specialise_batch(model: ir.Model) -> None:
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape([1, *value.shape[1:]])


def sequence(model: ir.Model) -> None:
    """A sequence is made and taken apart again on the way to the scores."""
    node = nodes_in(model, "blocks.1.attention", "Div")[0]
    zero = constant(model, "sequence_zero", np.zeros((), np.int64))
    _, at = append(node, "SequenceConstruct", "SequenceAt")
    at.resize_inputs(2)
    at.replace_input_with(1, zero)
    at.inputs[0].type = ir.SequenceType(ir.TensorType(ir.DataType.FLOAT))  # type: ignore[union-attr]


def scale_weight(model: ir.Model) -> None:
    (node,) = nodes_in(model, "blocks.1.feed.up", "MatMul")
    value = node.inputs[1]
    assert value is not None
    assert value.const_value is not None
    value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.05), name=value.name)


def exchange_records(model: ir.Model) -> None:
    first, last = (nodes_in(model, f"blocks.{block}.attention.softmax")[0] for block in (0, 2))
    kept = dict(first.metadata_props)
    record_as([first], last)
    last.metadata_props.clear()
    last.metadata_props.update(kept)
