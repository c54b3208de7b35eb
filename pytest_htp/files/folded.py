"""Graphs as onnxscript's optimizer leaves them, which torch's exporter runs unless told not to, and others don't."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir

from pytest_htp.files.load import OnnxFile
from pytest_htp.files.values import FEWEST
from pytest_htp.tagging.facts import graphs_in

# The optimizer takes 3 s for two files of 2,000 nodes, and 9 s for twice as many.
_MOST_NODES = 2_000
# Elements of a folded result: what onnxscript folds at most, but it looks when the result is there already.
_MOST_ELEMENTS = 8192
# What makes much of little: a file of a hundred bytes could ask for all memory.
_GROWING = frozenset({"ConstantOfShape", "Expand", "Range", "Tile", "Pad", "Resize", "Upsample", "OneHot"})


def fold(files: tuple[OnnxFile, OnnxFile]) -> bool:
    """Fold the graphs' constants and rewrite what the optimizer knows, in place.

    Returns:
        Whether they can be compared as they are now: something is other, and what was computed on the way (but for
        shapes and axes) the other file has too. Not where graphs are large, lack weights, or the optimizer stumbles.
    """
    if any(file.nodes > _MOST_NODES or file.missing for file in files):
        return False
    from onnxscript.optimizer import optimize_ir

    before = [_operators(file.model) for file in files]
    given = [{id(tensor): tensor for tensor in _given(file.model)} for file in files]  # kept, for ids are used again
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of what it can't compute, and leaves it
    try:
        for file in files:
            optimize_ir(file.model, should_fold=_should_fold, inline=False)
    except Exception:  # whatever a rule raises at a graph that nobody vouches for
        return False
    finally:
        logger.setLevel(level)
    if [_operators(file.model) for file in files] == before:
        return False
    now = [list(_initializers(file.model)) for file in files]  # constants are stored as such now
    made = [[tensor for tensor in tensors if id(tensor) not in old] for tensors, old in zip(now, given, strict=True)]
    return all(
        _has(now[1 - side], tensor) for side in (0, 1) for tensor in made[side] if tensor.dtype.is_floating_point()
    )


def _given(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """What no step made: stored numbers, and small ones in the program, which are compared as part of it."""
    yield from _initializers(model)
    for node in model.graph.all_nodes():
        if node.op_type == "Constant" and "value" in node.attributes:
            tensor = node.attributes["value"].as_tensor()
            if tensor.size < FEWEST:
                yield tensor


def _initializers(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in graphs_in(model.graph):
        yield from (value.const_value for value in graph.initializers.values() if value.const_value is not None)


def _has(tensors: Iterable[ir.TensorProtocol], wanted: ir.TensorProtocol) -> bool:
    values = wanted.numpy().ravel()
    alike = (t.numpy().ravel() for t in tensors if t.dtype == wanted.dtype and t.size == wanted.size)
    if not wanted.dtype.is_floating_point():
        return any(np.array_equal(other, values) for other in alike)
    # Two exporters' square roots may differ in their last bit.
    return any(np.allclose(other, values, rtol=1e-6, atol=0, equal_nan=True) for other in alike)


def _should_fold(node: ir.Node) -> bool | None:
    """None: as onnxscript decides, which folds all but ``ConstantOfShape``."""
    if node.op_type not in _GROWING:
        return None
    given = [ir.convenience.get_const_tensor(value) for value in node.inputs if value is not None]
    numbers = [tensor.numpy() for tensor in given if tensor is not None and tensor.size <= _MOST_ELEMENTS]
    if not numbers or len(numbers) < len(node.inputs):
        return False
    if node.op_type == "Range":
        start, limit, delta = (number.item() for number in numbers)
        return bool(delta) and (limit - start) / delta <= _MOST_ELEMENTS
    return node.op_type in ("ConstantOfShape", "Expand") and math.prod(numbers[-1].tolist()) <= _MOST_ELEMENTS


def _operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.all_nodes())
