"""Pass 4: a node that does the same with the same values."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.operators import does_the_same, operator, reshapes, stored


class SameOperationPass:
    """A node of whatever name that reads known values as one node before did, and does the same with them, is that one.

    Rules, in order:

    1. operator and attributes are the same, and at each place it reads the same value, or a constant that is not known
       to be another one; of an operator that only changes a shape, what it reads first is the same;
    2. what it makes is not known to be something else, and what the original made is made by nothing else;
    3. one such node for one original; for several originals, all of which read the very same, the node is what is left
       of these duplicates.

    Nodes are visited in graph order, and what such a node makes is known from there on.
    """

    rule = "same operation"

    def run(self, graphs: Correspondence) -> None:
        there = set(graphs.values.values())
        for facts in list(graphs.undecided()):
            node = facts.node
            read = next((value for value in node.inputs if value in graphs.values and stored(value) is None), None)
            if read is None:
                continue
            originals = [
                original
                for original in dict.fromkeys(graphs.values[read].consumers())
                if original in graphs.before.by_node
                and original not in graphs.survivors
                and there.isdisjoint(original.outputs)
                and _is(graphs, node, original)
            ]
            if not originals or any(originals[0].inputs != other.inputs for other in originals):
                continue
            rivals = (other for other in read.consumers() if other is not node and other not in graphs.decided)
            if any(_is(graphs, other, originals[0]) for other in rivals):
                continue
            graphs.stand_for(node, [graphs.before.by_node[original] for original in originals], self.rule)
            for made, before in zip(node.outputs, originals[0].outputs, strict=True):
                graphs.values.setdefault(made, before)
                there.add(before)


def _is(graphs: Correspondence, node: ir.Node, original: ir.Node) -> bool:
    if operator(node) != operator(original) or len(node.outputs) != len(original.outputs):
        return False
    if any(value in graphs.values for value in node.outputs):
        return False
    if reshapes(node):
        return original.inputs[0] in graphs.sources(node.inputs[0])
    return does_the_same(node, original) and all(
        _may_be(graphs, value, before) for value, before in zip(node.inputs, original.inputs, strict=True)
    )


def _may_be(graphs: Correspondence, value: ir.Value | None, before: ir.Value | None) -> bool:
    sources = graphs.sources(value)
    if value is None or before is None or sources:
        return before in sources if sources else value is before
    return stored(value) is not None and stored(before) is not None
