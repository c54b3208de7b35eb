"""Words for what an operator is given besides other operators' results: attributes, constants, sizes.

Everything here is canonical: equal for exports that mean the same, whatever exporter wrote them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from pytest_htp.describe.fingerprint import SMALL, digest, small_values
from pytest_htp.format.program import plain_name
from pytest_htp.tagging.computed import computed_from_data
from pytest_htp.tagging.facts import bodies_of

_FLOAT_DIGITS = 3  # of a table's summary: the last bits of a sine differ between machines
_HEX_DIGITS = 8  # 32 bits: held against the same constant's alone, a change is missed once in 4 * 10^9
_ZERO = 1e-6  # what rounding leaves of a sum that is zero
_HUGE = 1e6  # masks hold the lowest number of some type: all alike
_NUMBERS = {
    ir.AttributeType.FLOAT: np.float32, ir.AttributeType.FLOATS: np.float32,
    ir.AttributeType.INT: np.int64, ir.AttributeType.INTS: np.int64,
}  # fmt: skip
_ONE_AXIS_MORE = frozenset({"OneHot"})  # their axis is one of the result's, which has one more than the input
_ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def is_onnx(node: ir.Node) -> bool:
    """Whether the operator is ONNX's own."""
    return node.domain in ("", "ai.onnx")


def operator(node: ir.Node) -> str:
    """``Add``, ``com.microsoft::Gelu``: the operator with its domain where it is not ONNX's own."""
    return node.op_type if is_onnx(node) else f"{node.domain}::{node.op_type}"


def plain_operator(node: ir.Node) -> str:
    """An operator's name with nothing in it that means something in a program's line."""
    return "::".join(map(plain_name, operator(node).split("::"))) if node.domain else plain_name(node.op_type)


Values = list[ir.Value | None]


def present_inputs(node: ir.Node) -> Values:
    """Inputs without absent last ones."""
    values = list(node.inputs)
    while values and values[-1] is None:
        values.pop()
    return values


def body_outputs(node: ir.Node) -> list[tuple[str, Values]]:
    """What each body of a control-flow operator gives, by attribute: ``[("else_branch", […]), …]``."""
    return [
        (f"{name}{place or ''}", list(body.outputs))
        for name, attr in sorted(node.attributes.items())
        for place, body in enumerate(bodies_of(attr))
    ]


def inputs_since(node: ir.Node) -> dict[str, tuple[int, str]]:
    """Attributes of a node that are inputs in later opsets (``axes`` of a reduction): name → the input's place, and its
    words.
    """
    found: dict[str, tuple[int, str]] = {}
    if not node.attributes or not is_onnx(node):
        return found
    places = _inputs(node.op_type)
    for name, attr in node.attributes.items():
        place = places.get("constant_value" if node.op_type == "Pad" and name == "value" else name)
        kind = _NUMBERS.get(attr.type)
        if place is not None and kind is not None and not attr.is_ref():
            value = [attr.value] if name == "k" else attr.value
            found[name] = place, constant(ir.tensor(np.array(value, kind)))
    return found


@lru_cache(maxsize=1024)
def _inputs(op_type: str) -> dict[str, int]:
    """Input → its place, as onnx knows the newest version of its own operator."""
    try:
        return {given.name.lower(): place for place, given in enumerate(onnx.defs.get_schema(op_type).inputs)}
    except onnx.defs.SchemaError:
        return {}


def attributes(node: ir.Node, opset: int | None) -> dict[str, str]:
    """Attributes with meaning: those equal to the operator's default, or to what is inferred, are left out.

    ``axis`` is always given, counted from the front, but -1 for the last one. Bodies of control flow are not here.
    """
    defaults = _defaults(node.op_type, node.domain, opset) if opset is not None else {}
    given: dict[str, str] = {}
    if not node.attributes and "axis" not in defaults:
        return given
    if "axis" in defaults and "axis" not in node.attributes:
        given["axis"] = _axis(defaults["axis"], node)
    for name, attr in sorted(node.attributes.items()):
        if attr.is_ref():
            given[name] = f"@{attr.ref_attr_name}"
        elif attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            continue
        elif name == "axis":
            given[name] = _axis(attr.value, node)
        elif not (name in defaults and _plain(attr.value) == _plain(defaults[name])) and not _inferred(node, name):
            given[name] = _attribute(node, attr)
    return dict(sorted(given.items()))


def _attribute(node: ir.Node, attr: ir.Attr) -> str:
    if attr.type == ir.AttributeType.TENSOR:
        return constant(attr.value)
    if attr.name in ("to", "dtype") and attr.type == ir.AttributeType.INT:
        try:
            return ir.DataType(attr.value).name
        except ValueError:
            return str(attr.value)
    return _plain(attr.value)


def _axis(axis: int, node: ir.Node) -> str:
    value = node.inputs[0] if node.inputs else None
    rank = len(value.shape) if value is not None and value.shape is not None else None
    if rank is None:
        return str(axis)
    rank += node.op_type in _ONE_AXIS_MORE
    place = axis + rank if axis < 0 else axis
    return "-1" if place == rank - 1 else str(place)


@lru_cache(maxsize=1024)
def _defaults(op_type: str, domain: str, opset: int) -> dict[str, Any]:
    try:
        schema = onnx.defs.get_schema(op_type, opset, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return {}
    found = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def _inferred(node: ir.Node, name: str) -> bool:
    """Whether an attribute says only what the operator takes for granted."""
    value = node.attributes[name].value
    if name in ("dilations", "strides"):
        return all(step == 1 for step in value)
    if name in ("pads", "output_padding"):
        return not any(value)
    if name == "kernel_shape" and node.op_type in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"):
        return _dims(node, 3 if node.op_type == "QLinearConv" else 1)[2:] == list(value)
    if name == "hidden_size" and node.op_type in _ACTIVATIONS:
        return _dims(node, 2)[-1:] == [value]
    if name == "activations" and node.op_type in _ACTIVATIONS:
        usual = _ACTIVATIONS[node.op_type]
        return [str(act).lower() for act in value] == [act.lower() for act in usual] * (len(value) // len(usual))
    if name == "perm":
        return list(value) == list(range(len(value)))[::-1]
    training = node.attributes.get("training_mode")
    return node.op_type == "BatchNormalization" and name == "momentum" and not (training and training.value)


def _dims(node: ir.Node, index: int) -> list[object]:
    value = node.inputs[index] if index < len(node.inputs) else None
    return list(value.shape) if value is not None and value.shape is not None else []


def constant(tensor: ir.TensorProtocol, *, values: bool = True) -> str:
    """``FLOAT 0.5``, ``INT64 [1,-1]``; a larger one by element type, shape and a digest of its content.

    Integers and booleans are digested exactly, floats by what survives another machine's last bits: mean and root mean
    square to three digits, and what depends on places: a digest where all are whole numbers (masks), else a sum with
    random signs to two decimals. ``values=False`` gives element type and rank alone.
    """
    if not values:
        return f"{tensor.dtype.name} of rank {len(tensor.shape)}"
    small = small_values(tensor)
    if small:
        return f"{tensor.dtype.name} {small if len(tensor.shape) else small[1:-1]}"
    dims = "x".join(map(str, tensor.shape))
    return f"{tensor.dtype.name}[{dims}] {_digest(tensor)}".rstrip()


def table(tensor: ir.TensorProtocol) -> str:
    """A buffer's content as :func:`constant` describes it, but floats always by their summary, and to one digit more:
    their sixth digit may differ between machines, of the frequencies that a power gives.
    """
    if not tensor.dtype.is_floating_point():
        return constant(tensor)
    dims = "x".join(map(str, tensor.shape))
    return f"{tensor.dtype.name}[{dims}] {_digest(tensor, _FLOAT_DIGITS + 1)}"


def _digest(tensor: ir.TensorProtocol, digits: int = _FLOAT_DIGITS) -> str:
    try:
        array = np.asarray(tensor.numpy()).reshape(-1)
    except (TypeError, ValueError, NotImplementedError, FileNotFoundError):
        return ""
    if array.dtype.kind == "O":  # text
        return digest(repr(array.tolist()))[:_HEX_DIGITS]
    if not tensor.dtype.is_floating_point():
        return _hex(array)
    with np.errstate(all="ignore"):
        numbers = np.clip(np.nan_to_num(array.astype(np.float64), nan=_HUGE), -_HUGE, _HUGE)
        size = float(np.sqrt((numbers**2).mean()))
    sums = (format(0.0 if abs(number) < _ZERO else number, f".{digits}g") for number in (float(numbers.mean()), size))
    return "~" + "/".join((*sums, _by_places(numbers, size)))


def _by_places(numbers: np.ndarray[Any, np.dtype[np.float64]], size: float) -> str:
    """What another order of the same numbers changes; it is of the size of one, however many there are.

    Args:
        numbers: all elements.
        size: their root mean square.
    """
    if size < _ZERO:
        return "0"
    whole = numbers.astype(np.int32)
    if np.array_equal(whole, numbers):
        return _hex(whole)
    signs = np.random.RandomState(0).randint(0, 2, len(numbers), np.int8)  # the same for ever, unlike default_rng's
    weighted = (numbers.sum() - 2 * numbers[signs == 0].sum()) / (size * np.sqrt(len(numbers)))
    return format(round(float(weighted), 2) + 0.0, "g")


def _hex(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:_HEX_DIGITS]


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return format(value, ".6g")
    if isinstance(value, str):
        return plain_name(value)
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_plain, value)) + "]"
    return plain_name(str(value))


# Operators whose result may hold sizes alone; the last ones where what they are given does.
_KEEP_SIZES = ("Squeeze", "Unsqueeze", "Identity", "Cast")
_OF_SIZES = frozenset(("Shape", "Gather", *_KEEP_SIZES))

Symbol = Callable[[str], "str | None"]


class Sizes:
    """Values that only hold sizes of tensors, evaluated: reading a batch size off another tensor is no difference.

    Args:
        symbol: canonical name of a dynamic dimension, None for one that inputs and outputs don't have.
    """

    def __init__(self, symbol: Symbol) -> None:
        self._symbol = symbol
        self._known: dict[ir.Value, tuple[str, ...] | None] = {}

    def of(self, value: ir.Value) -> str | None:
        """``size[d0,12]`` where that is what the value is, else None."""
        dims = self._dims(value)
        return None if dims is None else f"size[{','.join(dims)}]"

    def _dims(self, value: ir.Value) -> tuple[str, ...] | None:
        if value not in self._known:
            self._known[value] = None  # a cycle of values, in a broken graph, ends here
            self._known[value] = self._evaluate(value)
        return self._known[value]

    def _evaluate(self, value: ir.Value) -> tuple[str, ...] | None:
        node = value.producer()
        if node is None or node.op_type not in _OF_SIZES:
            return None
        if not node.inputs or node.inputs[0] is None or not is_onnx(node):
            return None
        if node.op_type == "Shape":
            return self._shape(node)
        if node.op_type in _KEEP_SIZES:
            integers = value.dtype in (ir.DataType.INT64, ir.DataType.INT32)
            return self._dims(node.inputs[0]) if integers else None
        if node.op_type == "Gather":
            dims, places = self._dims(node.inputs[0]), _integers(node.inputs[1])
            if dims is None or places is None or not all(-len(dims) <= place < len(dims) for place in places):
                return None
            return tuple(dims[place] for place in places)
        return None

    def _shape(self, node: ir.Node) -> tuple[str, ...] | None:
        read = node.inputs[0]
        if read is None or read.shape is None:
            return None
        start, end = (node.attributes[name].value if name in node.attributes else None for name in ("start", "end"))
        dims = [str(dim) if isinstance(dim, int) else self._symbol(dim.value or "") for dim in read.shape][start:end]
        return None if None in dims else tuple(dim for dim in dims if dim is not None)


def _integers(value: ir.Value | None) -> list[int] | None:
    if value is None or value.const_value is None or value.const_value.size > SMALL or computed_from_data(value):
        return None
    return [int(number) for number in np.asarray(value.const_value.numpy()).reshape(-1)]
