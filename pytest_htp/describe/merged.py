"""A graph as it was before weights of equal values were merged: which of them are equal is data, no program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from pytest_htp.tagging.computed import computed_from_data
from pytest_htp.tagging.facts import GraphFacts

_Read = tuple[ir.Node, int]


@contextmanager
def unmerged(graph: GraphFacts) -> Iterator[None]:
    """While the block runs, nodes read the parameter or constant again that they read before deduplication.

    Fresh biases of zeros and norms of ones are equal to each other, and to constants; trained ones are not. Constants
    that are no one's weights stay merged: they hold the same whatever the weights hold.
    """
    known, stored = graph.merged_into, graph.model.graph.initializers
    separate = _to_separate(graph)
    merged = {(node, place): node.inputs[place] for node, place in separate}
    added = {value.name or "": value for value in separate.values()}
    try:
        for value in added.values():
            graph.model.graph.register_initializer(value)
        for (node, place), value in separate.items():
            node.replace_input_with(place, value)
        graph.merged_into = {name: [one for one in names if one not in added] for name, names in known.items()}
        yield
    finally:
        graph.merged_into = known
        for (node, place), kept in merged.items():
            node.replace_input_with(place, kept)
        for name in added.keys() & stored.keys():
            stored.pop(name)


def _to_separate(graph: GraphFacts) -> dict[_Read, ir.Value]:
    """Which node read what, where that is another tensor than the one it reads now."""
    recorded = graph.provenance.merged_reads if graph.provenance else {}
    reads = {
        (facts.node, place): value
        for facts in graph.nodes
        for place, value in recorded.get(facts.node, {}).items()
        if facts.node.inputs[place] is not None
    }
    readers: dict[ir.Value, list[ir.Node]] = {}
    for (node, _), value in reads.items():
        readers.setdefault(value, []).append(node)
    found: dict[_Read, ir.Value] = {}
    first: dict[tuple[ir.Value, tuple[str, ...]], ir.Value] = {}
    for (node, place), value in reads.items():
        now = node.inputs[place]
        assert now is not None
        own = _identity(graph, value, readers[value])
        still = [use.node for use in now.uses() if (use.node, use.idx) not in reads]
        if own != _identity(graph, now, still):
            found[node, place] = first.setdefault((now, own), value)
    return found


def _identity(graph: GraphFacts, value: ir.Value, readers: list[ir.Node]) -> tuple[str, ...]:
    """All names of a parameter, the name of what a rewrite rule computed of some; nothing for a constant."""
    names = graph.shared_parameters.get(value.name or "")
    if names is None and computed_from_data(value, readers):
        names = (value.name or "",)
    return names or ()
