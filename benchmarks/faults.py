"""Numeric faults in single nodes of an ONNX graph, at every eligible place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

WEIGHTED = {"MatMul": 1, "Gemm": 1, "Conv": 1, "ConvTranspose": 1}
"""Operator → input that holds the weight."""
SWAPS = {"Relu": "Elu", "Gelu": "Relu", "Sigmoid": "HardSigmoid", "Tanh": "Softsign", "Swish": "Relu"}
SWAPS |= {"Erf": "Tanh"}
LAYER_NORM_EPSILON = 1e-3
SOFTMAX_SCALE = 1.1


@dataclass(frozen=True)
class Fault:
    """A fault of one kind at the node with this position in the main graph; ``inject`` changes a graph of its
    own.
    """

    kind: str
    position: int
    inject: Callable[[onnx.GraphProto], None]


def faults(graph: onnx.GraphProto) -> Iterator[Fault]:
    """All faults that fit the graph, in graph order."""
    floats = (tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    stored = {tensor.name: tensor for tensor in floats}
    for position, node in enumerate(graph.node):
        weight = WEIGHTED.get(node.op_type)
        if weight is not None and weight < len(node.input) and node.input[weight] in stored:
            dims = list(stored[node.input[weight]].dims)
            yield _stored("weight element", position, weight, _one_element)
            yield _stored("weights x 1.01", position, weight, lambda array: array * np.float32(1.01))
            if len(dims) == 2 and dims[0] == dims[1]:
                yield _stored("square weight transposed", position, weight, lambda array: array.T.copy())
        for index, name in enumerate(node.input):
            third = index == 2 and node.op_type in ("Gemm", "Conv", "LayerNormalization")
            is_bias = node.op_type == "Add" or third
            if is_bias and name in stored and len(stored[name].dims) == 1:
                yield _stored("bias zeroed", position, index, np.zeros_like)
        if node.op_type == "LayerNormalization":
            yield Fault("LayerNorm epsilon", position, _at(position, _set_epsilon))
        if node.op_type == "Gelu" and not any(a.s == b"tanh" for a in node.attribute):
            yield Fault("GELU erf to tanh", position, _at(position, _set_tanh))
        if node.op_type == "Erf":
            yield Fault("GELU erf to tanh", position, lambda graph, at=position: _erf_by_tanh(graph, at))
        if node.op_type == "Softmax":
            yield Fault("softmax scale", position, lambda graph, at=position: _scale_input(graph, at))
        if node.op_type in SWAPS and node.domain in ("", "ai.onnx"):
            yield Fault("activation swapped", position, _at(position, _swap))


SIZES = (1e-4, 1e-2, 1.0, 10.0, 1e3)
"""How far a ramp moves a stored operand, in its largest magnitudes."""


def large_faults(graph: onnx.GraphProto) -> Iterator[Fault]:
    """Faults of any size and kind in stored operands, in graph order."""
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    alike: dict[tuple[int, ...], list[str]] = {}
    for tensor in stored.values():
        alike.setdefault(tuple(tensor.dims), []).append(tensor.name)
    for position, node in enumerate(graph.node):
        for index, name in enumerate(node.input):
            if name not in stored or node.op_type == "Gather" or np.prod(stored[name].dims) < 4:
                continue
            for size in SIZES:
                yield _stored(f"ramp x {size:g}", position, index, lambda array, size=size: _ramp(array, size))
            yield _stored("all NaN", position, index, lambda array: np.full_like(array, np.nan))
            yield _stored("one NaN", position, index, lambda array: _one(array, np.nan))
            yield _stored("all infinite", position, index, lambda array: np.full_like(array, np.inf))
            yield _stored("saturating", position, index, lambda array: np.full_like(array, 3e38))
            yield _stored("zeros", position, index, np.zeros_like)
            yield _stored("permuted channels", position, index, lambda array: np.roll(array, 1, axis=-1))
            others = [other for other in alike[tuple(stored[name].dims)] if other != name]
            if others:
                other = numpy_helper.to_array(stored[others[0]]).copy()
                yield _stored("another layer's", position, index, lambda array, other=other: other)


def _ramp(array: np.ndarray, size: float) -> np.ndarray:
    ramp = np.linspace(-1, 1, array.shape[-1] if array.ndim else 1, dtype=array.dtype)
    return array + size * max(float(np.abs(array).max()), 1e-3) * ramp


def _one(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[array.size // 2] = value
    return changed


def _stored(kind: str, position: int, index: int, change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """A fault in one node's stored operand; the node gets a copy, other nodes that read it don't."""

    def inject(graph: onnx.GraphProto) -> None:
        node = graph.node[position]
        tensor = next(item for item in graph.initializer if item.name == node.input[index])
        array = np.array(change(numpy_helper.to_array(tensor)))
        changed = numpy_helper.from_array(array, f"fault.{tensor.name}")
        graph.initializer.append(changed)
        node.input[index] = changed.name

    return Fault(kind, position, inject)


def _one_element(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[array.size // 2] += np.abs(array).max()
    return changed


def _at(position: int, change: Callable[[onnx.NodeProto], None]) -> Callable[[onnx.GraphProto], None]:
    return lambda graph: change(graph.node[position])


def _set_epsilon(node: onnx.NodeProto) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != "epsilon"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("epsilon", LAYER_NORM_EPSILON)])


def _set_tanh(node: onnx.NodeProto) -> None:
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("approximate", "tanh"))


def _swap(node: onnx.NodeProto) -> None:
    node.op_type = SWAPS[node.op_type]
    del node.attribute[:]


def _insert(graph: onnx.GraphProto, position: int, nodes: list[onnx.NodeProto], *, replace: bool) -> None:
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*kept[:position], *nodes, *kept[position + (1 if replace else 0) :]])


def _scalar(graph: onnx.GraphProto, name: str, value: float) -> str:
    graph.initializer.append(numpy_helper.from_array(np.float32(value), f"fault.{name}"))
    return f"fault.{name}"


def _scale_input(graph: onnx.GraphProto, position: int) -> None:
    node = graph.node[position]
    scale = helper.make_node("Mul", [node.input[0], _scalar(graph, "scale", SOFTMAX_SCALE)], ["fault.scaled"])
    node.input[0] = "fault.scaled"
    _insert(graph, position, [scale], replace=False)


def _erf_by_tanh(graph: onnx.GraphProto, position: int) -> None:
    """``erf(y) ~ tanh(sqrt(2/pi) * (x + 0.044715 x^3))`` with ``x = sqrt(2) y``: what the tanh form of GELU
    uses.
    """
    node = graph.node[position]
    linear = _scalar(graph, "linear", math.sqrt(2 / math.pi) * math.sqrt(2))
    cubic = _scalar(graph, "cubic", math.sqrt(2 / math.pi) * 0.044715 * math.sqrt(2) ** 3)
    y = node.input[0]
    nodes = [
        helper.make_node("Mul", [y, y], ["fault.y2"]),
        helper.make_node("Mul", ["fault.y2", cubic], ["fault.c"]),
        helper.make_node("Add", ["fault.c", linear], ["fault.cl"]),
        helper.make_node("Mul", ["fault.cl", y], ["fault.arg"]),
        helper.make_node("Tanh", ["fault.arg"], [node.output[0]]),
    ]
    _insert(graph, position, nodes, replace=True)
