"""Pass 7: the weights that a node reads."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence, Inserted
from pytest_htp.carry.operators import converts
from pytest_htp.tagging.facts import NodeFacts


class WeightsPass:
    """A node that reads a weight, straight or through conversions, stands for the nodes that read it before.

    Rules, in order:

    1. conversions of a weight belong to the weight;
    2. a node that reads weights of the graph before stands for all nodes that read these and did not survive.
    """

    rule = "weights"

    def run(self, graphs: Correspondence) -> None:
        for facts in list(graphs.undecided()):
            weights = list(_weights(graphs, facts.node))
            if not weights:
                continue
            if converts(facts.node):
                graphs.decided[facts.node] = Inserted(self.rule, weights[0])
                continue
            readers = [reader for weight in weights for reader in _readers(graphs, weight)]
            gone = [reader for reader in readers if reader.node not in graphs.survivors]
            if gone:
                graphs.stand_for(facts.node, gone, self.rule)


def _weights(graphs: Correspondence, node: ir.Node) -> Iterator[ir.Value]:
    """Parameters of the graph before behind what a node reads."""
    for value in node.inputs:
        for source in graphs.converted(value):
            if graphs.before.owners(source):
                yield source


def _readers(graphs: Correspondence, weight: ir.Value) -> Iterator[NodeFacts]:
    for node in dict.fromkeys(weight.consumers()):
        facts = graphs.before.by_node.get(node)
        if facts is not None:
            yield facts
