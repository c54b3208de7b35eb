"""Pass 6: names that a tool made out of the names it found."""

from __future__ import annotations

from pytest_htp.carry.correspondence import Correspondence, Inserted
from pytest_htp.carry.names import extended_name
from pytest_htp.carry.operators import converts


class MadeNamesPass:
    """A node whose name extends the name of a node before was made of it (``node_MatMul_175/MatMulAddFusion``).

    Rules, in order:

    1. a node that computes stands for the node its name extends;
    2. one that converts was inserted for the value its name extends, else for the node.
    """

    rule = "made name"

    def run(self, graphs: Correspondence) -> None:
        for facts in list(graphs.undecided()):
            if converts(facts.node):
                value = extended_name(facts.node.name, graphs.values_before)
                if value is not None:
                    graphs.decided[facts.node] = Inserted(self.rule, graphs.values_before[value])
                    continue
            name = extended_name(facts.node.name, graphs.nodes_before)
            if name is None:
                continue
            original = graphs.nodes_before[name]
            if converts(facts.node) and not converts(original.node):
                graphs.decided[facts.node] = Inserted(self.rule, None, (original,))
            else:
                graphs.stand_for(facts.node, (original,), self.rule)
