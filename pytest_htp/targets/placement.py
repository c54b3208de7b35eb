"""Which module each compiled node belongs to: by its names, else by the nodes around it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from pytest_htp.format.paths import common_prefix
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.between import nodes_between
from pytest_htp.targets.messages import CompiledNode
from pytest_htp.targets.names import NodeNames


@dataclass(frozen=True)
class Placement:
    """Compiled nodes by module and device.

    Attributes:
        modules: module path → device → count.
        fallback: module path → operator → count, of nodes that are on another device than the target's.
        unplaced: device → count of nodes that no module could be found for.
    """

    modules: dict[str, dict[str, int]]
    fallback: dict[str, dict[str, int]]
    unplaced: dict[str, int]

    @property
    def total(self) -> int:
        """Number of nodes, those without a module included."""
        return sum(sum(devices.values()) for devices in (*self.modules.values(), self.unplaced))

    def share(self, device: str) -> float | None:
        """Percent of nodes on ``device``; None of none."""
        there = sum(devices.get(device, 0) for devices in (*self.modules.values(), self.unplaced))
        return round(100 * there / self.total, 2) if self.total else None


def place(nodes: Sequence[CompiledNode], tagging: Tagging, device: str) -> Placement:
    """Lead compiled nodes back to modules. A node made of several counts once for each of them.

    Args:
        nodes: as the compiler has them.
        tagging: of the graph that was compiled.
        device: the target's own.
    """
    modules: defaultdict[str, Counter[str]] = defaultdict(Counter)
    fallback: defaultdict[str, Counter[str]] = defaultdict(Counter)
    unplaced: Counter[str] = Counter()
    for node, paths in zip(nodes, module_paths(nodes, tagging), strict=True):
        for path in paths:
            modules[path][node.device] += 1
            if node.device != device:
                fallback[path][node.op_type] += 1
        if not paths:
            unplaced[node.device] += 1
    return Placement(_sorted(modules), _sorted(fallback), dict(sorted(unplaced.items())))


def _sorted(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {path: dict(sorted(counts[path].items())) for path in sorted(counts)}


def module_paths(nodes: Sequence[CompiledNode], tagging: Tagging) -> list[list[str]]:
    """The modules of each compiled node, one entry a node it was made of; empty where nothing is known.

    Args:
        nodes: in execution order.
        tagging: of the graph that was compiled.
    """
    return with_neighbours(nodes, known_paths(nodes, tagging))


def known_paths(nodes: Sequence[CompiledNode], tagging: Tagging) -> list[list[str]]:
    """The modules by name, and, where a compiler reports what nodes read, those of nodes that are gone between
    the ones with a name; as :func:`module_paths`.
    """
    names = NodeNames(tagging)
    paths = [_named(node, names) for node in nodes]
    if any(node.inputs for node in nodes):
        owners = {facts.node: facts.path for facts in tagging.nodes}
        for position, gone in nodes_between(nodes, [_made_of(node, names) for node in nodes]).items():
            modules = [path for node in gone if (path := owners.get(node)) is not None]
            if modules and not paths[position]:
                paths[position] = [common_prefix(modules)]
    return paths


def with_neighbours(nodes: Sequence[CompiledNode], known: Sequence[list[str]]) -> list[list[str]]:
    """The paths of ``known``, and for nodes without any those of the nodes around them."""
    paths = list(known)
    around = _by_edges if any(node.inputs for node in nodes) else _by_order
    for _ in range(len(nodes)):
        found = around(nodes, paths)
        if not found:
            break
        for position, path in found.items():
            paths[position] = [path]
    return paths


def _made_of(node: CompiledNode, names: NodeNames) -> list[ir.Node]:
    return list({facts.node: None for name in node.names if (facts := names.node(name)) is not None})


def _named(node: CompiledNode, names: NodeNames) -> list[str]:
    found = {facts.node: facts for name in node.names if (facts := names.node(name)) is not None}
    paths = [facts.path for facts in found.values() if facts.path is not None]
    if paths:
        return paths
    for name in node.names:
        reader = names.reader(name)
        if reader is not None and reader.path is not None:
            return [reader.path]
    return []


def _by_order(nodes: Sequence[CompiledNode], paths: list[list[str]]) -> dict[int, str]:
    """In execution order a node between two of one module is that module's, else of what encloses both. Numbers are
    dequantized for the node after, and quantized by the one before.
    """
    before, after = _nearest(paths), _nearest(paths[::-1])[::-1]
    decided = {}
    for position, found in enumerate(paths):
        if found or not (before[position] or after[position]):
            continue
        sides = {"DequantizeLinear": after, "QuantizeLinear": before}.get(nodes[position].op_type)
        one = sides[position] if sides is not None else []
        # What prepares an input goes with the node after it, what follows a node with that.
        decided[position] = common_prefix(one[-1:] or [*before[position][-1:], *after[position][:1]])
    return decided


def _nearest(paths: Sequence[list[str]]) -> list[list[str]]:
    """For each position the paths of the last one before it that has any."""
    nearest: list[list[str]] = []
    last: list[str] = []
    for found in paths:
        nearest.append(last)
        last = found or last
    return nearest


def _by_edges(nodes: Sequence[CompiledNode], paths: list[list[str]]) -> dict[int, str]:
    """The module of all nodes that read a node, else of all that it reads."""
    readers: dict[int, list[int]] = {}
    for position, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(position)
    decided = {}
    for position, node in enumerate(nodes):
        if paths[position]:
            continue
        after = [paths[reader] for reader in readers.get(position, ())]
        before = [paths[source] for source in node.inputs]
        for side in (after, before):
            if side and all(side):
                decided[position] = common_prefix([path for found in side for path in found])
                break
    return decided
