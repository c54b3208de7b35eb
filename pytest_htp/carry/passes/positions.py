"""Pass 3: what a surviving node reads, by position."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.operators import converts, operator


class PositionsPass:
    """A node that survived reads at each place what it read before, in whatever precision or layout.

    Rules, in order:

    1. an unknown value that a conversion makes and a survivor reads is the value that its original read there;
    2. a known one that the survivor's original did not read replaced another: where the same operator made both,
       the two were duplicates of which one was kept, and its maker stands for both.
    """

    rule = "duplicates"

    def run(self, graphs: Correspondence) -> None:
        pairs = [
            (facts.node, graphs.nodes_before[facts.key].node)
            for facts in graphs.after.nodes
            if facts.node in graphs.decided
        ]
        for node, original in pairs:
            if len(node.inputs) != len(original.inputs):
                continue
            for value, before in zip(node.inputs, original.inputs, strict=True):
                if value is None or before is None:
                    continue
                producer = value.producer()
                if value not in graphs.values:
                    if producer is not None and converts(producer):
                        graphs.values[value] = before
                elif producer is not None and graphs.values[value] is not before:
                    self._merged(graphs, producer, before)

    def _merged(self, graphs: Correspondence, producer: ir.Node, before: ir.Value) -> None:
        duplicate = graphs.maker(before)
        kept = graphs.decided.get(producer)
        if duplicate is None or duplicate.node in graphs.survivors or kept is None:
            return
        nodes = getattr(kept, "nodes", ())
        if nodes and operator(nodes[0].node) == operator(duplicate.node) and _equal(nodes[0].node, duplicate.node):
            graphs.stand_for(producer, (*nodes, duplicate), self.rule)


def _equal(one: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes do the same with their inputs (which elimination made equal, one after the other)."""
    return len(one.inputs) == len(other.inputs) and {
        name: attribute.value for name, attribute in one.attributes.items()
    } == {name: attribute.value for name, attribute in other.attributes.items()}
