"""The main graph as data flow between module calls: which calls a node may belong to, which borders a value crosses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import NodeFacts, bodies_in
from pytest_htp.tagging.reached import reached
from pytest_htp.tagging.tagger import Tagging

_SHAPE_SOURCES = frozenset({"Shape", "Size"})

Chain = tuple[int, ...]
"""Orders of the nested module calls around a node, the root's first."""


@dataclass(frozen=True, slots=True)
class Chains:
    """Where a node belongs: in any of ``own``; it may stand for equal nodes in ``later`` ones.

    ``certain`` says that there are no others, as where its tag leaves exactly one.
    """

    own: tuple[Chain, ...] = ()
    later: tuple[Chain, ...] = ()
    certain: bool = False

    def include(self, order: int) -> bool:
        """Whether the node belongs to a call (or one inside it)."""
        return any(order in chain for chain in self.own)


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way; ``producer`` None for a graph input, ``consumer`` None for a graph output."""

    value: ir.Value
    producer: int | None
    consumer: int | None


class Calls:
    """Module calls by path and call index, with the chain of calls around each."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.all = hierarchy.calls
        self._chains: list[Chain] = []
        self._by_path: dict[str, list[ModuleCall]] = {}
        for call in self.all:  # a parent's order is smaller than its children's
            outer = self._chains[call.parent] if call.parent is not None else ()
            self._chains.append((*outer, call.order))
            self._by_path.setdefault(call.path, []).append(call)

    def chain(self, order: int) -> Chain:
        """The calls around the call of this number, outermost first."""
        return self._chains[order]

    def of(self, path: str) -> list[ModuleCall]:
        """The calls of a module."""
        return self._by_path.get(path, [])

    def chains_of(self, facts: NodeFacts) -> Chains:
        """The chains a node belongs to by its tag; none for a node without a tag or tagged with a module not
        seen running.

        A node of several modules has one per origin. Common-subexpression elimination keeps the first of
        equal nodes of several calls of one module, so a node of call 0 may stand for later calls as well.
        """
        if facts.path is None:
            return Chains()
        fused = facts.evidence is Evidence.FUSED or len(facts.origins) > 1
        chains: list[Chain] = []
        for path in dict.fromkeys((facts.path, *facts.origins)) if fused else (facts.path,):
            chains.extend(self._chains[call.order] for call in self.of(path))
        known = facts.call if not fused and facts.call is not None and facts.call < len(chains) else None
        if known is None:
            return Chains(tuple(chains), certain=len(chains) == 1)
        return Chains((chains[known],), tuple(chains[known + 1 :]), certain=True)


class Flow:
    """The main graph's nodes in order and the edges between them. Independent of tags.

    ``shape_only`` are values that depend on shapes and constants alone: PyTorch computes those as Python
    numbers, so no module border ever sees them.
    """

    def __init__(self, program: ir.Model) -> None:
        self.nodes = list(program.graph)
        self.position = {node: index for index, node in enumerate(self.nodes)}
        self._runners = {inner: node for node in self.nodes for body in bodies_in(node) for inner in body.all_nodes()}
        self.shape_only: set[ir.Value] = set()
        for node in self.nodes:
            data = [value for value in _reads(node) if not _is_constant(value)]
            if node.op_type in _SHAPE_SOURCES or all(value in self.shape_only for value in data):
                self.shape_only.update(node.outputs)
        self.edges = list(self._edges(program.graph))

    def _edges(self, graph: ir.Graph) -> Iterator[Edge]:
        for index, node in enumerate(self.nodes):
            for value in dict.fromkeys(_reads(node)):
                producer = value.producer()
                if producer is not None and producer in self.position:
                    if value not in self.shape_only:
                        yield Edge(value, self.position[producer], index)
                elif value.is_graph_input() and not value.is_initializer():
                    yield Edge(value, None, index)
        for value in graph.outputs:
            producer = value.producer()
            if producer is not None and value not in self.shape_only:
                yield Edge(value, self.position[producer], None)

    def order(self, value: ir.Value) -> int:
        """Position of the node that makes a value; -1 for what the graph is given."""
        producer = value.producer()
        return -1 if producer is None else self.position[producer]

    def downstream(self, sources: Iterable[ir.Value], stop: frozenset[ir.Value] = frozenset()) -> set[ir.Value]:
        """Values computed from ``sources`` (without themselves), not going on beyond those in ``stop``."""
        start = set(sources)

        def computed_from(value: ir.Value) -> Iterator[ir.Value]:
            if value in start or value not in stop:
                for node in self.readers(value):
                    yield from node.outputs

        return set(reached(start, computed_from))

    def readers(self, value: ir.Value) -> Iterator[ir.Node]:
        """Nodes of the main graph that read a value; a body's reads count as its control-flow node's."""
        for node in value.consumers():
            yield self._runners.get(node, node)


class Placement:
    """Where the tags put each node: the part of attestation that changes with them.

    ``replayed`` are positions of views recorded as their reader's, which may be another module's.
    """

    def __init__(self, flow: Flow, tagging: Tagging, hierarchy: Hierarchy) -> None:
        self.calls = Calls(hierarchy)
        self.everywhere = tagging.nodes
        self.facts = [tagging.graph.by_node[node] for node in flow.nodes]
        self.replayed = {i for i, facts in enumerate(self.facts) if tagging.graph.is_replayed(facts)}
        self.chains = [self.calls.chains_of(facts) for facts in self.facts]
        root: Chain = (0,) if hierarchy.calls else ()
        self._outside = Chains((root,), certain=True)

    def at(self, position: int | None, value: ir.Value) -> Chains:
        """Chains of a node as far as it reads or makes a value; those of the root for a graph input or output.

        A node that a stage made of several is where those were that read or made the value.
        """
        if position is None:
            return self._outside
        ends = [self.calls.chains_of(end) for end in self.facts[position].ends.get(value, ())]
        if not ends:
            return self.chains[position]
        return Chains(
            tuple(chain for end in ends for chain in end.own),
            tuple(chain for end in ends for chain in end.later),
            certain=all(end.certain for end in ends),
        )

    def recorded(self, position: int) -> bool:
        """Whether the exporter's own record says where a node belongs, beyond doubt."""
        facts = self.facts[position]
        direct = facts.evidence is Evidence.DIRECT and not facts.rewired and len(facts.stands_for) <= 1
        return direct and position not in self.replayed and self.chains[position].certain

    def crossings(self, edge: Edge, *, later: bool) -> Iterator[tuple[Chain, Chain]]:
        """For every combination of chains: the calls that the value leaves, and the calls that it enters.

        ``later``: also as one of the later calls whose equal nodes the ends may stand for.
        """
        sources, targets = self.at(edge.producer, edge.value), self.at(edge.consumer, edge.value)
        for source in (*sources.own, *(sources.later if later else ())):
            for target in (*targets.own, *(targets.later if later else ())):
                shared = 0
                while shared < min(len(source), len(target)) and source[shared] == target[shared]:
                    shared += 1
                yield source[shared:], target[shared:]

    def certain(self, edge: Edge) -> bool:
        """Whether all places of both ends are known, and the exporter's record of them is beyond doubt."""
        ends = (edge.producer, edge.consumer)
        return all(end not in self.replayed and self.at(end, edge.value).certain for end in ends)

    def moved(self, edge: Edge) -> bool:
        """Whether a stage gave the value to a node that stands for none that read it: a border may have moved."""
        return edge.consumer is not None and edge.value in self.facts[edge.consumer].rewired


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """Inputs of a node, and what its bodies read from outside."""
    for value in node.inputs:
        if value is not None:
            yield value
    for body in bodies_in(node):
        inside = set(body.inputs)
        for inner in body:
            yield from (value for value in _reads(inner) if value not in inside)
            inside.update(inner.outputs)
        yield from (value for value in body.outputs if value not in inside)


def _is_constant(value: ir.Value) -> bool:
    return value.is_initializer() or value.const_value is not None
