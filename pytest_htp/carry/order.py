"""Names that went to other nodes: a tool, or a change of the model, numbered anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence
from pytest_htp.carry.operators import converts
from pytest_htp.tagging.facts import NodeFacts


def named_elsewhere(graphs: Correspondence) -> set[ir.Node]:
    """Nodes of the graph after whose names are those of nodes that lay elsewhere before.

    A weight that one node read before shows where its readers are. What leads to them came before them, what they lead
    to after them: a node whose namesake lay on the other side is another node (``relu_3``, with an activation less
    before it). What was one node may be several now, of which one reads the weight and another has the name.
    """
    order = {facts.node: index for index, facts in enumerate(graphs.before.nodes)}
    places = {facts.node: sorted(_places(graphs, facts.node, order)) for facts in graphs.after.nodes}
    nodes = [facts.node for facts in graphs.after.nodes]
    lowest: dict[ir.Node, int] = {}
    for node in nodes:
        around = (value.producer() for value in node.inputs if value is not None)
        lowest[node] = max((places[n][0] if places[n] else lowest[n] for n in _known(around, lowest)), default=-1)
    highest: dict[ir.Node, int] = {}
    for node in reversed(nodes):
        around = (use for value in node.outputs for use in value.consumers())
        bounds = (places[n][-1] if places[n] else highest[n] for n in _known(around, highest))
        highest[node] = min(bounds, default=len(order))
    return {
        facts.node
        for facts in graphs.after.nodes
        if (namesake := _namesake(graphs, facts)) is not None
        and not lowest[facts.node] <= order[namesake] <= highest[facts.node]
    }


def _known(nodes: Iterable[ir.Node | None], bounds: dict[ir.Node, int]) -> Iterator[ir.Node]:
    return (node for node in nodes if node is not None and node in bounds)


def _places(graphs: Correspondence, node: ir.Node, order: dict[ir.Node, int]) -> Iterator[int]:
    for value in node.inputs:
        if value is None or value.producer() is not None:
            continue
        source = graphs.values.get(value)  # by its name: values may be equal, as fresh norms' are
        reader = _reader(source) if source is not None and source.is_initializer() else None
        if reader is not None and reader in order:
            yield order[reader]


def _reader(weight: ir.Value) -> ir.Node | None:
    """The one node that computes with a weight: what converts one (DequantizeLinear) may stand anywhere before that."""
    readers = set(weight.consumers())
    while len(readers) == 1:
        (reader,) = readers
        if not converts(reader):
            return reader
        readers = {use for value in reader.outputs for use in value.consumers()}
    return None


def _namesake(graphs: Correspondence, facts: NodeFacts) -> ir.Node | None:
    """The node before that made a value of the same name, else the one of the same name."""
    for value in facts.node.outputs:
        known = graphs.values_before.get(value.name or "")
        if known is not None and (maker := graphs.maker(known)) is not None:
            return maker.node
    known_node = graphs.nodes_before.get(facts.key)
    return None if known_node is None else known_node.node
