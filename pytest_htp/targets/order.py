"""Execution order of compiled nodes: compilers list partitions one after the other, device by device."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby

import onnx_ir as ir

from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.messages import CompiledNode
from pytest_htp.targets.names import NodeNames


def in_execution_order(nodes: Sequence[CompiledNode], tagging: Tagging) -> list[CompiledNode]:
    """The nodes so that each piece, and each node outside of pieces, comes after all that it reads from.

    Among those that may run, the one whose first node is earlier in the graph comes first. A compiler that reports what
    each node reads lists them in execution order already, which is kept.

    Args:
        nodes: as the compiler has them.
        tagging: of the graph that was compiled.
    """
    if any(node.inputs for node in nodes):
        return list(nodes)
    units = _units(nodes)
    names = NodeNames(tagging)
    positions = {facts.node: position for position, facts in enumerate(tagging.nodes)}
    found = [[facts.node for name in node.names if (facts := names.node(name)) is not None] for node in nodes]
    owners: dict[ir.Node, list[int]] = {}
    first = [0] * len(units)
    last = 0
    for number, unit in enumerate(units):
        for index in unit:
            # A further name alone (of a node that reads it) belongs to another unit.
            if found[index] and names.node(nodes[index].names[0]) is not None:
                for node in found[index]:
                    exact = node.name in nodes[index].names
                    owners.setdefault(node, []).insert(0 if exact else len(owners[node]), number)
        # Units without a known name stay behind the unit that the compiler listed before them.
        last = min((positions[node] for index in unit for node in found[index]), default=last)
        first[number] = last
    return [nodes[index] for number in _sorted(first, _sources(tagging, owners)) for index in units[number]]


def _units(nodes: Sequence[CompiledNode]) -> list[list[int]]:
    """Positions of the nodes that run as one: those of a piece, every other alone."""
    keys = [(node.device, node.piece, position if node.piece is None else -1) for position, node in enumerate(nodes)]
    return [list(unit) for _, unit in groupby(range(len(nodes)), key=keys.__getitem__)]


def _sources(tagging: Tagging, owners: dict[ir.Node, list[int]]) -> dict[int, set[int]]:
    """Unit → those that it reads from, also through nodes that the compiler left out.

    Args:
        tagging: of the graph that was compiled.
        owners: node → the units that have it; of several (copies of a dequantization) a unit reads its own.
    """
    through: dict[ir.Node, list[ir.Node]] = {}
    sources: dict[int, set[int]] = {}
    for facts in tagging.nodes:
        read: dict[ir.Node, None] = {}
        for producer in facts.node.predecessors():
            read |= dict.fromkeys([producer] if producer in owners else through.get(producer, ()))
        if facts.node not in owners:
            through[facts.node] = list(read)
        for unit in owners.get(facts.node, ()):
            made = {owners[producer][0] for producer in read if unit not in owners[producer]}
            sources.setdefault(unit, set()).update(made)
    return sources


def _sorted(first: Sequence[int], sources: dict[int, set[int]]) -> list[int]:
    """Units, each after its sources. Of a cycle (a wrong name) those that are left keep their order."""
    readers: dict[int, list[int]] = {}
    open_sources = {number: len(sources.get(number, ())) for number in range(len(first))}
    for number, read in sources.items():
        for source in read:
            readers.setdefault(source, []).append(number)
    ready = [(first[number], number) for number, count in open_sources.items() if not count]
    heapify(ready)
    made: list[int] = []
    while ready:
        _, number = heappop(ready)
        made.append(number)
        for reader in readers.get(number, ()):
            open_sources[reader] -= 1
            if not open_sources[reader]:
                heappush(ready, (first[reader], reader))
    return made + [number for number in range(len(first)) if open_sources[number] > 0]
