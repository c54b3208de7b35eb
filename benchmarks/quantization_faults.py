"""Faults that quantization really has, planted one at a time into a quantized (QDQ) graph.

Each knows where it is: the module whose weight it spoils, or whose result it is that is stored badly, told by the tags
of the float graph that was quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

Array = np.ndarray
_WEIGHT_DIMS = 2
_FEW = 8  # elements: such a weight is no matrix


@dataclass(frozen=True)
class QuantizationFault:
    """A fault of one kind; ``plant`` changes a graph of its own.

    Attributes:
        at: the weight or value that it is in.
        modules: where it begins; several where one operator stands for several modules.
    """

    kind: str
    at: str
    modules: frozenset[str]
    plant: Callable[[onnx.GraphProto], None]


@dataclass(frozen=True)
class Site:
    """Where something is stored in eight bits: ``quantize`` is None for a weight."""

    at: str
    quantize: int | None
    dequantize: int
    modules: frozenset[str]


def sites(graph: onnx.GraphProto, owners: Mapping[str, frozenset[str]]) -> Iterator[Site]:
    """Weights and values of a QDQ graph that are quantized, in graph order.

    Args:
        owners: name of a node of the float graph, and of a value that one makes → modules.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    given = {value.name for value in graph.input} - stored.keys()
    makers = {name: node.name for node in graph.node for name in node.output}
    dequantize = {
        node.input[0]: position for position, node in enumerate(graph.node) if node.op_type == "DequantizeLinear"
    }
    for position, node in enumerate(graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            weight = stored[node.input[0]]
            using = [reader for reader in readers.get(node.output[0], ()) if reader.name in owners]
            if len(weight.dims) >= _WEIGHT_DIMS and np.prod(weight.dims) > _FEW and len(using) == 1:
                yield Site(weight.name, None, position, owners[using[0].name])
        elif node.op_type == "QuantizeLinear" and node.input[0] not in stored and node.output[0] in dequantize:
            at = dequantize[node.output[0]]
            # Made by an operator that took others in (a convolution with its activation): of any of them.
            modules = owners.get(node.input[0], frozenset()) | owners.get(makers.get(node.input[0], ""), frozenset())
            if node.input[0] in given:  # nobody's result: it is off from the first that takes it
                taking = readers.get(graph.node[at].output[0], ())
                modules = frozenset[str]().union(*(owners.get(reader.name, frozenset()) for reader in taking))
            if modules and readers.get(graph.node[at].output[0]):
                yield Site(node.input[0], position, at, modules)


def faults(
    graph: onnx.GraphProto, owners: Mapping[str, frozenset[str]], *, wrong: onnx.GraphProto | None = None
) -> Iterator[QuantizationFault]:
    """All faults that fit the graph, in graph order.

    Args:
        wrong: the same graph, calibrated on inputs that are unlike those it will see.
    """
    miscalibrated = (
        {} if wrong is None else {tensor.name: numpy_helper.to_array(tensor) for tensor in wrong.initializer}
    )
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for site in sites(graph, owners):
        if site.quantize is None:
            for factor in (4.0, 0.25):
                yield _scaled(site, f"bad scale of a weight (x {factor:g})", factor, both=False)
            yield _shifted(site, "wrong zero point of a weight", 24)
            yield _recoded(site, "one layer at 4 bits", lambda w, s: _requantized(w, s, levels=16))
            yield _recoded(site, "clipped range of a weight", lambda w, s: np.clip(w, -0.3 * s, 0.3 * s))
            if stored[graph.node[site.dequantize].input[1]].size > 1:
                yield _recoded(site, "per-tensor instead of per-channel", lambda w, s: _requantized(w, s, levels=256))
            continue
        yield _scaled(site, "bad scale of a value (x 16)", 16.0, both=True)
        yield _scaled(site, "bad scale of a value (read x 2)", 2.0, both=False)
        yield _shifted(site, "wrong zero point of a value", 24)
        yield _scaled(site, "clipped range of a value", 0.2, both=True)
        name = graph.node[site.quantize].input[1]
        if name in miscalibrated and not np.allclose(miscalibrated[name], stored[name], rtol=0.5):
            zero_point = graph.node[site.quantize].input[2]
            yield _replaced(site, "calibration on wrong inputs", miscalibrated[name], miscalibrated.get(zero_point))


def _array(graph: onnx.GraphProto, name: str) -> Array:
    return numpy_helper.to_array(next(tensor for tensor in graph.initializer if tensor.name == name))


def _give(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, array: Array) -> None:
    """An operand of its own: others that read the old one don't change."""
    name = f"fault.{len(graph.initializer)}.{node.input[place]}"
    graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
    node.input[place] = name


def _places(site: Site, *, both: bool) -> list[int]:
    return [place for place in (site.quantize if both else None, site.dequantize) if place is not None]


def _scaled(site: Site, kind: str, factor: float, *, both: bool) -> QuantizationFault:
    def plant(graph: onnx.GraphProto) -> None:
        for place in _places(site, both=both):
            node = graph.node[place]
            array = _array(graph, node.input[1])
            _give(graph, node, 1, (array * factor).astype(array.dtype))

    return QuantizationFault(kind, site.at, site.modules, plant)


def _shifted(site: Site, kind: str, by: int) -> QuantizationFault:
    def plant(graph: onnx.GraphProto) -> None:
        node = graph.node[site.dequantize]
        array = _array(graph, node.input[2])
        info = np.iinfo(array.dtype)
        far = by << (8 * (array.itemsize - 1))  # the same share of the range
        moved = array.astype(np.int64)
        moved = np.where(moved + far > info.max, moved - far, moved + far)
        _give(graph, node, 2, moved.astype(array.dtype))

    return QuantizationFault(kind, site.at, site.modules, plant)


def _replaced(site: Site, kind: str, scale: Array, zero_point: Array | None) -> QuantizationFault:
    def plant(graph: onnx.GraphProto) -> None:
        for place in _places(site, both=True):
            node = graph.node[place]
            _give(graph, node, 1, scale)
            if zero_point is not None:
                _give(graph, node, 2, zero_point)

    return QuantizationFault(kind, site.at, site.modules, plant)


def _recoded(site: Site, kind: str, change: Callable[[Array, float], Array]) -> QuantizationFault:
    """The weight's codes made anew of changed numbers, by the scale and zero point that it has."""

    def plant(graph: onnx.GraphProto) -> None:
        node = graph.node[site.dequantize]
        codes, scale = _array(graph, node.input[0]), _array(graph, node.input[1])
        zero_point = _array(graph, node.input[2]).astype(np.float64)
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1) % codes.ndim
        shape = [1] * codes.ndim
        if scale.size > 1:
            shape[axis] = -1
            scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
        numbers = (codes.astype(np.float64) - zero_point) * scale
        numbers = change(numbers, float(np.abs(numbers).max()))
        info = np.iinfo(codes.dtype)
        _give(graph, node, 0, np.clip(np.round(numbers / scale + zero_point), info.min, info.max).astype(codes.dtype))

    return QuantizationFault(kind, site.at, site.modules, plant)


def _requantized(numbers: Array, largest: float, levels: int) -> Array:
    step = 2 * largest / levels
    return np.round(numbers / step) * step
