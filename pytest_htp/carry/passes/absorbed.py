"""Pass 8: what disappeared into the node before it."""

from __future__ import annotations

from pytest_htp.carry.correspondence import Correspondence, StandsFor
from pytest_htp.carry.operators import converts


class AbsorbedPass:
    """A node that nothing stands for, and whose value is nowhere, was fused with what it alone read (Conv and Relu).

    Rule: what it reads is read by nothing else, is itself nowhere in the graph after, and was made by a node that
    exactly one node stands for: that one stands for both. Nodes that only convert are left out: those are dropped.
    """

    rule = "absorbed"

    def run(self, graphs: Correspondence) -> None:
        there = set(graphs.values.values())
        stood_for = {
            facts.node for known in graphs.decided.values() if isinstance(known, StandsFor) for facts in known.nodes
        }
        for facts in graphs.before.nodes:
            node = facts.node
            if node in stood_for or converts(node) or there.intersection(node.outputs):
                continue
            read = [value for value in node.inputs if value is not None and value.producer() is not None]
            if len(read) != 1 or read[0] in there or len(read[0].uses()) != 1:
                continue
            standing = graphs.standing_for(graphs.decided, read)
            if len(standing) == 1:
                graphs.absorb(standing[0], facts, self.rule)
