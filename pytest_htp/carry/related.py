"""Whether one graph was made of another at all."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.operators import converts_storage, initializers, operator

# Below this share of its weights known, a graph was made of something else. Shares in between don't
# occur: graphs made of one another share all but what was folded, others share a table of positions at most.
_FEWEST = 0.25


def unrelated(graphs: Correspondence) -> str | None:
    """Why nothing can be carried between two graphs, or None where they are related.

    Exporters number names, so graphs that have nothing to do with each other share many (``val_12``,
    ``node_linear``). Weights can't be shared by accident: at least a quarter of the graph's matrices and kernels, or of
    their elements, must be known ones (a layout of blocks may pad and reorder all but one). Without weights of two or
    more dimensions on either side, a quarter of its nodes must have the name and operator of one before; those that
    only convert don't count, of which a quantizer puts in more than it finds.
    """
    weights = _matrices(graphs.after.model)
    if weights and _matrices(graphs.before.model):
        known = [value for value in weights if graphs.sources(value)]
        if len(known) < _FEWEST * len(weights) and sum(map(_size, known)) < _FEWEST * sum(map(_size, weights)):
            return "unrelated: it has other weights than the tagged graph"
        return None
    nodes = [facts for facts in graphs.after.nodes if not converts_storage(facts.node)]
    same = 0
    for facts in nodes:
        original = graphs.nodes_before.get(facts.key)
        same += original is not None and operator(original.node) == operator(facts.node)
    if same < _FEWEST * len(nodes):
        return "unrelated: it has neither weights nor nodes of the tagged graph"
    return None


def _matrices(model: ir.Model) -> list[ir.Value]:
    return [
        value for value in initializers(model) if value.const_value is not None and len(value.const_value.shape) > 1
    ]


def _size(value: ir.Value) -> int:
    assert value.const_value is not None
    return int(value.const_value.size)
