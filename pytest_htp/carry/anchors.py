"""Where both graphs are held together before any node is looked at: inputs and weights."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.equal_weights import WeightIndex, elements, equal_weights
from pytest_htp.carry.names import extended_name
from pytest_htp.carry.operators import initializers


def anchor(graphs: Correspondence) -> None:
    """Find what the inputs and initializers of the graph after are in the graph before.

    Rules, in order:

    1. a graph input by its name;
    2. an initializer by its name, if it holds the same as far as that is known (in whatever precision, scale or
       transposition), or now holds what a node computed (a folded constant);
    3. one whose name extends that of a constant before (``W_quantized``, ``W_scale``), and not that of a value that a
       node made: tools call a weight after what is made with it (``val_62_weight``);
    4. one by its content: a copy, transposed, packed, quantized, or several joined along an axis.
    """
    before = graphs.before.model
    inputs = {value.name: value for value in before.graph.inputs if not value.is_initializer()}
    for value in graphs.after.model.graph.inputs:
        if value.name in inputs and not value.is_initializer():
            graphs.values[value] = inputs[value.name]
    unknown: list[ir.Value] = []
    for value in initializers(graphs.after.model):
        if not _by_name(graphs, value):
            unknown.append(value)
    if unknown:
        known = WeightIndex(initializers(before))
        for value in unknown:
            array = elements(value)
            found = known.find(array) if array is not None else ()
            if found:
                graphs.weights[value] = found


def _by_name(graphs: Correspondence, value: ir.Value) -> bool:
    known = graphs.values_before
    same = known.get(value.name or "")
    if same is not None:
        if not _differs(value, same):
            graphs.values[value] = same
            return True
        return False
    name = extended_name(value.name, graphs.constants_before)
    if name is None or (_size(value) == _size(known[name]) and _differs(value, known[name])):
        return False
    graphs.weights[value] = (known[name],)
    return True


def _differs(value: ir.Value, original: ir.Value) -> bool:
    """Whether two constants surely hold different things."""
    if original.const_value is None:
        return False
    if _size(value) != _size(original):
        return True
    one, other = elements(value), elements(original)
    return one is not None and other is not None and equal_weights(one, other) is False


def _size(value: ir.Value) -> int | None:
    return value.const_value.size if value.const_value is not None else None
