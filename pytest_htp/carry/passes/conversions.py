"""Pass 9: conversions of values that are known."""

from __future__ import annotations

from pytest_htp.carry.correspondence import Correspondence, Inserted
from pytest_htp.carry.operators import converts_storage


class ConversionsPass:
    """An undecided node that stores a known value in another way was inserted for that value.

    Rule: what it reads first is a known value, or what another such node made of one. Nodes are visited in graph order,
    so a chain (QuantizeLinear, DequantizeLinear) is followed to its end.
    """

    rule = "conversion"

    def run(self, graphs: Correspondence) -> None:
        for facts in list(graphs.undecided()):
            if not converts_storage(facts.node) or not facts.node.inputs:
                continue
            if sources := graphs.converted(facts.node.inputs[0]):
                graphs.decided[facts.node] = Inserted(self.rule, sources[0])
