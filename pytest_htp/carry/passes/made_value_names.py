"""Pass 8: nodes that a tool named after the values they make."""

from __future__ import annotations

from pytest_htp.carry.correspondence import Correspondence, StandsFor
from pytest_htp.carry.names import extended_name
from pytest_htp.carry.operators import converts


class MadeValueNamesPass:
    """A node whose name extends that of a value before took the place of what made it (``max_pool2d_nchwc``).

    Rule: it computes, the value is nowhere in the graph after, and nothing stands for the node that made it. Weights
    come first: a node that took further ones in is named after the last one's value.
    """

    rule = "made name"

    def run(self, graphs: Correspondence) -> None:
        there = set(graphs.values.values())
        gone = {
            name: maker
            for name, value in graphs.values_before.items()
            if value not in there and (maker := graphs.maker(value)) is not None and not converts(maker.node)
        }
        for known in graphs.decided.values():
            for original in known.nodes if isinstance(known, StandsFor) else ():
                for value in original.node.outputs:
                    gone.pop(value.name or "", None)
        for facts in list(graphs.undecided()):
            name = extended_name(facts.node.name, gone)
            if name is not None and not converts(facts.node):
                graphs.stand_for(facts.node, (gone.pop(name),), self.rule)
