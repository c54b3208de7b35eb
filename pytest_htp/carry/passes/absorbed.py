"""Pass 10: what disappeared into the node before it."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence, Inserted, StandsFor
from pytest_htp.carry.operators import converts


class AbsorbedPass:
    """A node that nothing stands for was fused with what it alone read (Conv and Relu).

    Rule: what it reads is read by nothing else, is itself nowhere in the graph after, and was made by a node that
    exactly one node stands for; and its own value is nowhere, or that one makes it, straight or through inserted
    conversions: that one stands for both. Nodes that only convert are left out: those are dropped.
    """

    rule = "absorbed"

    def run(self, graphs: Correspondence) -> None:
        there = {before: value for value, before in graphs.values.items()}
        standing: dict[ir.Node | None, list[ir.Node]] = {}
        for node, known in graphs.decided.items():
            for original in known.nodes if isinstance(known, StandsFor) else ():
                standing.setdefault(original.node, []).append(node)
        for facts in graphs.before.nodes:
            node = facts.node
            if node in standing or converts(node):
                continue
            read = [value for value in node.inputs if value is not None and value.producer() is not None]
            if len(read) != 1 or read[0] in there or len(read[0].uses()) != 1:
                continue
            makers = standing.get(read[0].producer(), [])
            made = (_computed_by(graphs, there[value]) for value in node.outputs if value in there)
            if len(makers) == 1 and all(maker is makers[0] for maker in made):
                graphs.absorb(makers[0], facts, self.rule)
                standing[node] = makers


def _computed_by(graphs: Correspondence, value: ir.Value) -> ir.Node | None:
    """The node that makes a value, or what inserted conversions made it of."""
    maker = value.producer()
    while maker is not None and converts(maker) and isinstance(graphs.decided.get(maker), Inserted):
        read = maker.inputs[0]
        maker = read.producer() if read is not None else None
    return maker
