"""Pass 5: the region between known tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from pytest_htp.carry.correspondence import Correspondence, Inserted, StandsFor
from pytest_htp.carry.names import extended_name
from pytest_htp.carry.operators import converts, converts_storage, extends, operator, stored
from pytest_htp.tagging.facts import NodeFacts

# The nodes that one operator can take the place of; a fused attention with its masks stands for some 40.
_LARGEST = 256


@dataclass
class _Region:
    """Nodes of the graph after that make one known value out of other known ones, and the nodes that did it before.

    ``made`` is the known value in the graph before, ``frontier`` are those that the region reads.
    """

    made: ir.Value
    inside: list[ir.Node] = field(default_factory=list)
    frontier: set[ir.Value] = field(default_factory=set)
    originals: list[NodeFacts] = field(default_factory=list)


class RegionsPass:
    """Cut both graphs at the known tensors: what lies between them after stands for what lay between them before.

    For each known value whose maker is not decided, the undecided nodes that lead to it, back to known values, are
    held against the nodes that led to the same value before, back to the same values or to nodes that survived.

    Rules, in order:

    1. nothing lay between: all of these nodes convert the value;
    2. as many nodes of an operator as before: each is one of them, by the weights that they read, else in order; and
       the node that makes the value is the one that made it, if the operator is the same;
    3. the nodes that compute stand for what remains, each of several for what read its weights; where the name of an
       operator extends an original one's (``MatMulInteger``, ``SkipLayerNormalization``) only those do, and the others
       help them; where nothing computes, conversions stand for the conversions before, and what computed (a Relu that
       quantizing absorbed) is in the last node of rule 2;
    4. what remains was inserted: storage conversions belong to the value or weight they convert, helpers to the region,
       but for one that computes and is named after a node before (pass 6).
    """

    rule = "region"

    def run(self, graphs: Correspondence) -> None:
        self._order = {facts.node: index for index, facts in enumerate(graphs.before.nodes)}
        for facts in list(graphs.undecided()):
            if facts.node in graphs.decided:
                continue
            made = [graphs.values[value] for value in facts.node.outputs if value in graphs.values]
            if made:
                self._decide(graphs, self._region(graphs, facts.node, made[0], made))

    def _region(self, graphs: Correspondence, end: ir.Node, made: ir.Value, outputs: list[ir.Value]) -> _Region:
        region = _Region(made)
        todo, seen = [end], {end}
        while todo:
            node = todo.pop()
            region.inside.append(node)
            for value in node.inputs:
                sources = graphs.sources(value)
                producer = value.producer() if value is not None else None
                if sources:
                    region.frontier.update(sources)
                elif producer is not None and producer in graphs.decided:
                    known = graphs.decided[producer]
                    if isinstance(known, Inserted) and known.value is not None:
                        region.frontier.add(known.value)
                elif producer is not None and producer not in seen:
                    seen.add(producer)
                    todo.append(producer)
        region.inside.reverse()
        self._fill_before(graphs, region, outputs)
        return region

    def _fill_before(self, graphs: Correspondence, region: _Region, outputs: list[ir.Value]) -> None:
        found: dict[ir.Node, NodeFacts] = {}
        todo = [value for value in outputs if value not in region.frontier]
        starts = set(todo)
        while todo and len(found) <= _LARGEST:
            value = todo.pop()
            maker = graphs.maker(value)
            if maker is None or maker.node in found or stored(value) is not None:
                continue
            if maker.node in graphs.survivors and value not in starts:
                continue
            found[maker.node] = maker
            todo.extend(read for read in maker.node.inputs if read is not None and read not in region.frontier)
        region.originals = sorted(found.values(), key=lambda facts: self._order[facts.node])

    def _decide(self, graphs: Correspondence, region: _Region) -> None:
        if len(region.originals) > _LARGEST:
            for node in region.inside:
                graphs.causes[node] = f"it would stand for more than {_LARGEST} nodes"
            return
        if not region.originals:
            for node in region.inside:
                graphs.decided[node] = Inserted("conversion", region.made)
            return
        after, before = self._same_operators(graphs, region)
        computing = [node for node in after if not converts(node)]
        if not computing and before:
            if all(converts(facts.node) for facts in before):
                computing = after
            else:
                self._absorb(graphs, region, before)
                before = []
        extending = [node for node in computing if any(extends(node, facts.node) for facts in before)]
        main = extending or computing
        readers = _readers(graphs, main, before)
        for index, node in enumerate(main if before else ()):
            own = [facts for facts in before if extends(node, facts.node)]
            one_each = len(extending) > 1 and len(own) == len(extending)
            graphs.stand_for(node, readers.get(node) or ((own[index],) if one_each else before), self.rule)
        for node in region.inside:
            if node not in graphs.decided and (converts(node) or not extended_name(node.name, graphs.nodes_before)):
                value = self._converted(graphs, node, region) if converts_storage(node) else None
                rule = "conversion" if value is not None else "helper"
                graphs.decided[node] = Inserted(rule, value, tuple(region.originals))

    def _same_operators(self, graphs: Correspondence, region: _Region) -> tuple[list[ir.Node], list[NodeFacts]]:
        """Pair nodes of operators that occur as often as before, and what makes the value if the same operator did; the
        unpaired ones of both sides.
        """
        now = Counter(operator(node) for node in region.inside)
        then = Counter(operator(facts.node) for facts in region.originals)
        paired: set[ir.Node] = set()
        for kind in {kind for kind, count in now.items() if then[kind] == count}:
            nodes = [node for node in region.inside if operator(node) == kind]
            originals = [facts for facts in region.originals if operator(facts.node) == kind]
            readers = _readers(graphs, nodes, originals)
            for node, original in zip(nodes, originals, strict=True):
                graphs.stand_for(node, readers.get(node) or (original,), self.rule)
            paired.update(facts.node for facts in originals)
        last, maker = region.inside[-1], graphs.maker(region.made)
        if last not in graphs.decided and maker in region.originals and operator(maker.node) == operator(last):
            graphs.stand_for(last, (maker,), self.rule)
            paired.add(maker.node)
        after = [node for node in region.inside if node not in graphs.decided]
        before = [facts for facts in region.originals if facts.node not in paired]
        if not after and before:  # what disappeared is in one of those that did not
            self._absorb(graphs, region, before)
        return after, before

    def _absorb(self, graphs: Correspondence, region: _Region, gone: list[NodeFacts]) -> None:
        """Let the last node that is one of those before stand for what disappeared as well."""
        for node in reversed(region.inside):
            known = graphs.decided.get(node)
            if isinstance(known, StandsFor):
                graphs.stand_for(node, (*known.nodes, *gone), self.rule)
                return

    def _converted(self, graphs: Correspondence, node: ir.Node, region: _Region) -> ir.Value | None:
        """The value or weight that a conversion in a region is about: the one it reads, or the region's result."""
        while True:
            value = node.inputs[0] if node.inputs else None
            sources = graphs.sources(value)
            if sources:
                return sources[0]
            producer = value.producer() if value is not None else None
            if producer is None or not converts_storage(producer):
                return region.made
            known = graphs.decided.get(producer)
            if isinstance(known, Inserted) and known.value is not None:
                return known.value
            node = producer


def _readers(
    graphs: Correspondence, nodes: Sequence[ir.Node], originals: Sequence[NodeFacts]
) -> dict[ir.Node, list[NodeFacts]]:
    """For each of several nodes those of the originals that read its weights; empty where these leave one to none or to
    two of the nodes.
    """
    found = {}
    for node in nodes:
        weights = {stored(source) for value in node.inputs for source in graphs.converted(value)} - {None}
        found[node] = [facts for facts in originals if not weights.isdisjoint(map(stored, facts.node.inputs))]
    every = [facts.key for share in found.values() for facts in share]
    return found if len(nodes) > 1 and all(found.values()) and len(set(every)) == len(every) else {}
