"""Pass 1: a node of the same name and operator."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.operators import operator


class SameNodePass:
    """A node whose name and operator a node of the graph before has is that node.

    Rules, in order:

    1. names are keys: one that several nodes share says nothing;
    2. a tool that numbers anew gives a name to another node: weights that surely are other weights speak against
       it, and weights around it that lay on its other side;
    3. what the node makes is what the original made, unless it goes by the name of a value that the original did
       not make: then it also took over what came after the original (Conv that a following Add was folded into),
       and the region pass decides what.
    """

    rule = "same node"

    def run(self, graphs: Correspondence) -> None:
        for facts in graphs.undecided():
            original = graphs.nodes_before.get(facts.key)
            if original is None or operator(original.node) != operator(facts.node):
                continue
            if _other_weights(graphs, facts.node, original.node):
                graphs.causes[facts.node] = "a node of this name reads other weights before"
                continue
            if facts.node in graphs.renumbered:
                continue
            taken_over = any(
                own.name != its.name and own.name in graphs.values_before
                for own, its in zip(facts.node.outputs, original.node.outputs, strict=False)
            )
            if taken_over:
                continue
            graphs.stand_for(facts.node, (original,), self.rule)
            graphs.values.update(zip(facts.node.outputs, original.node.outputs, strict=False))


def _other_weights(graphs: Correspondence, node: ir.Node, original: ir.Node) -> bool:
    for value, before in zip(node.inputs, original.inputs, strict=False):
        if value is None or before is None or not value.is_initializer() or not before.is_initializer():
            continue
        sources = graphs.sources(value)
        if sources and before not in sources and len(value.shape or ()) > 1:
            return True
    return False
