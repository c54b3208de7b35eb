"""Pass 3: what a surviving node reads, by position."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence, StandsFor
from pytest_htp.carry.operators import converts, does_the_same, operator


class PositionsPass:
    """A node that survived reads at each place what it read before, in whatever precision or layout.

    Rules, in order:

    1. an unknown value that a conversion makes, or a node that has another one's name, and that a survivor reads is the
       value that its original read there;
    2. a known value that the survivor's original did not read replaced another: where the same operator made both,
       the two were duplicates of which one was kept, and its maker stands for both.
    """

    rule = "duplicates"

    def run(self, graphs: Correspondence) -> None:
        for node, original in _survivors(graphs):
            for value, before in _inputs(node, original):
                producer = value.producer()
                if value not in graphs.values:
                    if producer is not None and (converts(producer) or producer in graphs.renumbered):
                        graphs.values[value] = before
                elif producer is not None and graphs.values[value] is not before:
                    self._merged(graphs, producer, before)

    def _merged(self, graphs: Correspondence, producer: ir.Node, before: ir.Value) -> None:
        duplicate = graphs.maker(before)
        kept = graphs.decided.get(producer)
        if duplicate is None or duplicate.node in graphs.survivors or not isinstance(kept, StandsFor):
            return
        first = kept.nodes[0].node
        if operator(first) == operator(duplicate.node) and does_the_same(first, duplicate.node):
            graphs.absorb(producer, duplicate, self.rule)


def _survivors(graphs: Correspondence) -> list[tuple[ir.Node, ir.Node]]:
    pairs = [(facts.node, graphs.nodes_before[facts.key].node) for facts in graphs.after.nodes
             if facts.node in graphs.decided]  # fmt: skip
    return [(node, original) for node, original in pairs if len(node.inputs) == len(original.inputs)]


def _inputs(node: ir.Node, original: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    for value, before in zip(node.inputs, original.inputs, strict=False):
        if value is not None and before is not None:
            yield value, before
