"""What a compiled node without a known name stands for: nodes of the graph that are gone, between those around it.

OpenVINO's ``MVN_11`` between ``node_embedding`` and ``node_linear`` is ``node_layer_norm``, which has no other trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx_ir as ir

from pytest_htp.tagging.reached import reached
from pytest_htp.targets.messages import CompiledNode

_Step = Callable[[ir.Node], Iterable[ir.Node]]


def nodes_between(nodes: Sequence[CompiledNode], found: Sequence[Sequence[ir.Node]]) -> dict[int, list[ir.Node]]:
    """Position of a node without a name → the nodes of the graph that it may stand for.

    Args:
        nodes: with ``inputs``.
        found: nodes of the graph that each is known to be made of.
    """
    named = {node for each in found for node in each}
    # What reads nothing prepares a weight: node_MatMul_1/transpose_b is not where node_MatMul_1 went.
    present = {graph_node for each, node in zip(found, nodes, strict=True) if node.inputs for graph_node in each}
    sources = {position: list(node.inputs) for position, node in enumerate(nodes)}
    readers: dict[int, list[int]] = {}
    for position, inputs in sources.items():
        for source in inputs:
            readers.setdefault(source, []).append(position)
    between = {}
    for position, own in enumerate(found):
        if own:
            continue
        above = _through(_nearest(position, sources, found), ir.Node.successors, present)
        below = _through(_nearest(position, readers, found), ir.Node.predecessors, present)
        standing = [node for node in below if node in above and node not in named]
        if standing:
            between[position] = standing
    return between


def _nearest(position: int, step: Mapping[int, list[int]], found: Sequence[Sequence[ir.Node]]) -> list[ir.Node]:
    """What the nearest nodes that way are made of, of which that is known."""
    others = reached([position], lambda place: () if found[place] else step.get(place, ()))
    return [node for other in others for node in found[other]]


def _through(start: Iterable[ir.Node], step: _Step, present: set[ir.Node]) -> dict[ir.Node, None]:
    """Nodes that are not ``present``, reached from ``start`` through such nodes alone."""
    return dict.fromkeys(reached(start, lambda node: (other for other in step(node) if other not in present)))
