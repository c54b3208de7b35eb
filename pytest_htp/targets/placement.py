"""Which module each compiled node belongs to: by its names, else by the nodes around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_htp.format.paths import common_prefix
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.messages import CompiledNode
from pytest_htp.targets.names import NodeNames


@dataclass(frozen=True)
class Placement:
    """Compiled nodes by module and device.

    Attributes:
        modules: module path → device → count.
        unplaced: device → count of nodes that no module could be found for.
    """

    modules: dict[str, dict[str, int]]
    unplaced: dict[str, int]

    @property
    def total(self) -> int:
        """Number of nodes, those without a module included."""
        return sum(sum(devices.values()) for devices in (*self.modules.values(), self.unplaced))

    def share(self, device: str) -> float | None:
        """Percent of nodes on ``device``; None of none."""
        there = sum(devices.get(device, 0) for devices in (*self.modules.values(), self.unplaced))
        return round(100 * there / self.total, 2) if self.total else None


def place(nodes: Sequence[CompiledNode], tagging: Tagging) -> Placement:
    """Lead compiled nodes back to modules. A node made of several counts once for each of them.

    Args:
        nodes: as the compiler has them.
        tagging: of the graph that was compiled.
    """
    modules: dict[str, Counter[str]] = {}
    unplaced: Counter[str] = Counter()
    for node, paths in zip(nodes, module_paths(nodes, tagging), strict=True):
        for path in paths:
            modules.setdefault(path, Counter())[node.device] += 1
        if not paths:
            unplaced[node.device] += 1
    return Placement(
        {path: dict(sorted(modules[path].items())) for path in sorted(modules)}, dict(sorted(unplaced.items()))
    )


def module_paths(nodes: Sequence[CompiledNode], tagging: Tagging) -> list[list[str]]:
    """The modules of each compiled node, one entry a node it was made of; empty where nothing tells.

    Args:
        nodes: in execution order.
        tagging: of the graph that was compiled.
    """
    return with_neighbours(nodes, named_paths(nodes, tagging))


def named_paths(nodes: Sequence[CompiledNode], tagging: Tagging) -> list[list[str]]:
    """The modules that names tell, as :func:`module_paths`."""
    names = NodeNames(tagging)
    return [_named(node, names) for node in nodes]


def with_neighbours(nodes: Sequence[CompiledNode], named: Sequence[list[str]]) -> list[list[str]]:
    """The paths of ``named``, and for nodes without any those that the nodes around them tell."""
    paths = list(named)
    around = _by_edges if any(node.inputs for node in nodes) else _by_order
    for _ in range(len(nodes)):
        found = around(nodes, paths)
        if not found:
            break
        for position, path in found.items():
            paths[position] = [path]
    return paths


def _named(node: CompiledNode, names: NodeNames) -> list[str]:
    found = {id(facts): facts for name in node.names if (facts := names.node(name)) is not None}
    paths = [facts.path for facts in found.values() if facts.path is not None]
    if paths:
        return paths
    for name in node.names:
        reader = names.reader(name)
        if reader is not None and reader.path is not None:
            return [reader.path]
    return []


def _by_order(nodes: Sequence[CompiledNode], paths: list[list[str]]) -> dict[int, str]:
    """In execution order a node between two of one module is that module's, else of what encloses both."""
    known = [position for position, found in enumerate(paths) if found]
    decided = {}
    for position, found in enumerate(paths):
        if found or not known:
            continue
        before = [paths[k][-1] for k in known if k < position][-1:]
        after = [paths[k][0] for k in known if k > position][:1]
        # What prepares an input goes with the node after it, what follows a node with that.
        decided[position] = common_prefix([*before, *after])
    return decided


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
