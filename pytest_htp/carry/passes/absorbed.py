"""Pass 8: what disappeared into the node before it."""

from __future__ import annotations

import onnx_ir as ir

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
        standing: dict[ir.Node | None, list[ir.Node]] = {}
        for node, known in graphs.decided.items():
            for original in known.nodes if isinstance(known, StandsFor) else ():
                standing.setdefault(original.node, []).append(node)
        for facts in graphs.before.nodes:
            node = facts.node
            if node in standing or converts(node) or there.intersection(node.outputs):
                continue
            read = [value for value in node.inputs if value is not None and value.producer() is not None]
            if len(read) != 1 or read[0] in there or len(read[0].uses()) != 1:
                continue
            makers = standing.get(read[0].producer(), [])
            if len(makers) == 1:
                graphs.absorb(makers[0], facts, self.rule)
                standing[node] = makers
