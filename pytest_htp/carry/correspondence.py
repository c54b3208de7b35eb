"""What is known of how two graphs correspond while the passes of :mod:`pytest_htp.carry.passes` run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from pytest_htp.carry.operators import operator, stored
from pytest_htp.tagging.facts import GraphFacts, NodeFacts


@dataclass(frozen=True, slots=True)
class StandsFor:
    """A node computes what these nodes of the graph before computed."""

    nodes: tuple[NodeFacts, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Inserted:
    """A node was inserted: it converts ``value``, a value or weight of the graph before, or it helps in what took the
    place of the nodes ``around`` it.
    """

    rule: str
    value: ir.Value | None = None
    around: tuple[NodeFacts, ...] = ()


class Correspondence:
    """Two graphs, and which value and node of the second is which of the first.

    Attributes:
        before, after: both graphs; nothing in ``before`` is changed.
        measured: names of values of ``after`` → names of values of ``before`` that were equal in a run.
        values: value of ``after`` → value of ``before`` that says the same, in whatever precision or layout.
        weights: initializer of ``after`` → those of ``before`` that it was made of: a transposed, packed or
            quantized copy, or its scale.
        decided: node of ``after`` → what it is.
        survivors: nodes of ``before`` that a node after it stands for, alone and under the same operator.
        causes: undecided node of ``after`` → why a pass could not decide it.
        relaid: values of ``after`` that may lie in another memory layout.
        renumbered: nodes of ``after`` that have the names of other nodes before.
    """

    def __init__(self, before: GraphFacts, after: GraphFacts, measured: Mapping[str, str]) -> None:
        self.before, self.after, self.measured = before, after, measured
        self.values: dict[ir.Value, ir.Value] = {}
        self.weights: dict[ir.Value, tuple[ir.Value, ...]] = {}
        self.decided: dict[ir.Node, StandsFor | Inserted] = {}
        self.survivors: set[ir.Node] = set()
        self.causes: dict[ir.Node, str] = {}
        self.relaid: set[ir.Value] = set()
        self.renumbered: set[ir.Node] = set()

    @cached_property
    def values_before(self) -> dict[str, ir.Value]:
        """Values of the graph before by name; a name that several bodies use leads to none of them."""
        found: dict[str, ir.Value] = {}
        repeated: set[str] = set()
        for value in _all_values(self.before):
            if value.name and found.setdefault(value.name, value) is not value:
                repeated.add(value.name)
        return {name: value for name, value in found.items() if name not in repeated}

    @cached_property
    def constants_before(self) -> dict[str, ir.Value]:
        """Those of :attr:`values_before` that are stored."""
        return {name: value for name, value in self.values_before.items() if stored(value) is not None}

    @cached_property
    def nodes_before(self) -> dict[str, NodeFacts]:
        """The nodes of the tagged graph by key."""
        return {facts.key: facts for facts in self.before.nodes}

    def undecided(self) -> Iterator[NodeFacts]:
        """Nodes of the new graph that no pass has decided on yet."""
        return (facts for facts in self.after.nodes if facts.node not in self.decided)

    def stand_for(self, node: ir.Node, originals: Iterable[NodeFacts], rule: str) -> None:
        """Decide that ``node`` computes what ``originals`` did."""
        nodes = tuple({facts.key: facts for facts in originals}.values())
        self.decided[node] = StandsFor(nodes, rule)
        if len(nodes) == 1 and operator(nodes[0].node) == operator(node):
            self.survivors.add(nodes[0].node)

    def absorb(self, node: ir.Node, original: NodeFacts, rule: str) -> None:
        """Decide that ``node``, which stands for others, computes what ``original`` did as well."""
        known = self.decided[node]
        assert isinstance(known, StandsFor)
        self.stand_for(node, (*known.nodes, original), rule)

    def sources(self, value: ir.Value | None) -> tuple[ir.Value, ...]:
        """The values or weights of the graph before that a value of the graph after is, or is made of."""
        if value is None:
            return ()
        known = self.values.get(value)
        return (known,) if known is not None else self.weights.get(value, ())

    def converted(self, value: ir.Value | None) -> tuple[ir.Value, ...]:
        """:meth:`sources`, also through what was inserted to convert them."""
        producer = value.producer() if value is not None else None
        known = self.decided.get(producer) if producer is not None else None
        through = (known.value,) if isinstance(known, Inserted) and known.value is not None else ()
        return (*self.sources(value), *through)

    def maker(self, value: ir.Value) -> NodeFacts | None:
        """The node of the graph before that makes a value of it."""
        producer = value.producer()
        return self.before.by_node.get(producer) if producer is not None else None


def _all_values(graph: GraphFacts) -> Iterator[ir.Value]:
    for inner in graph.model.graphs():
        yield from inner.inputs
        yield from inner.initializers.values()
    for facts in graph.nodes:
        yield from facts.node.outputs
