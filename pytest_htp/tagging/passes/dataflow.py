"""Evidence ``inferred`` from the data flow, by rules whose measured precision justifies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.reached import reached

# A helper chain that a fix inserted has a few nodes (two at most in 26 bundled models, static and dynamic). A larger
# group is not a gap between known nodes but a graph that lost its record: what little is left around it says nothing
# about where inside its nodes belong.
_LARGEST_GROUP = 16


class DataFlowPass:
    """Place what is still undecided by the nodes around it.

    Neighbouring undecided nodes of one graph (a helper chain that a fix inserted) are placed together. ``P`` are the
    modules of the decided nodes that feed the group, ``C`` those of the decided nodes that read from it; a graph input
    among the sources or a graph output among the results stands for the root, whose call they cross. At least one
    decided node must be among ``P`` and ``C``: a graph that lost everything stays undecided.

    Rules, in order (precision of each by leave-one-out in ``docs/reference/inference-rules.md``):

    1. ``neighbours``: ``P`` and ``C`` are the same single module: the group is in it;
    2. ``order``: the decided nodes before and after the group in graph order are in the same module: so is
       the group;
    3. ``between``: the deepest module common to all of ``P`` and ``C``, neither of which is empty;
    4. ``body``: inside a control-flow body, the module of the node that runs the body.
    """

    rules = ("neighbours", "order", "between", "body")

    def run(self, graph: GraphFacts) -> None:
        for group in self._groups(graph):
            placed = self.place(graph, group)
            if placed is not None:
                path, rule = placed
                for facts in group:
                    facts.decide(Evidence.INFERRED, path, rule)

    def place(
        self, graph: GraphFacts, group: list[NodeFacts], rules: tuple[str, ...] = rules
    ) -> tuple[str, str] | None:
        """``(module path, rule)`` for a group of undecided nodes, or None where no rule applies."""
        sources, at_input = self._sources(graph, group)
        readers, at_output = self._readers(graph, group)
        if (not sources and not readers) or len(group) > _LARGEST_GROUP:
            return self._enclosing(graph, group) if "body" in rules else None
        before = sources | ({""} if at_input else set())
        after = readers | ({""} if at_output else set())
        if "neighbours" in rules and before == after and len(before) == 1:
            return before.pop(), "neighbours"
        if "order" in rules and (path := self._sandwich(graph, group)) is not None:
            return path, "order"
        if "between" in rules and before and after:
            return graph.deepest_common(before | after), "between"
        return self._enclosing(graph, group) if "body" in rules else None

    @staticmethod
    def _groups(graph: GraphFacts) -> Iterator[list[NodeFacts]]:
        undecided = {facts.node: facts for facts in graph.undecided()}

        def beside(node: ir.Node) -> Iterator[ir.Node]:
            around = (*node.predecessors(), *node.successors())
            return (other for other in around if other in undecided and other.graph is node.graph)

        seen: set[ir.Node] = set()
        for start in undecided:
            if start not in seen:
                group = dict.fromkeys([start, *reached([start], beside)])
                seen.update(group)
                yield [undecided[node] for node in group]

    @staticmethod
    def _sources(graph: GraphFacts, group: list[NodeFacts]) -> tuple[set[str], bool]:
        paths: set[str] = set()
        at_input = False
        for facts in group:
            paths |= _modules(graph, facts.node.predecessors())
            given = (value for value in facts.node.inputs if value is not None and value.is_graph_input())
            at_input = at_input or any(not value.is_initializer() for value in given)
        return paths, at_input and not facts_in_body(group)

    @staticmethod
    def _readers(graph: GraphFacts, group: list[NodeFacts]) -> tuple[set[str], bool]:
        paths: set[str] = set()
        at_output = False
        for facts in group:
            paths |= _modules(graph, facts.node.successors())
            at_output = at_output or any(output.is_graph_output() for output in facts.node.outputs)
        return paths, at_output and not facts_in_body(group)

    @staticmethod
    def _sandwich(graph: GraphFacts, group: list[NodeFacts]) -> str | None:
        siblings, _ = graph.siblings[group[0].node]
        positions = {graph.siblings[facts.node][1] for facts in group}
        first, last = min(positions) - 1, max(positions) + 1
        if len(positions) != last - first - 1 or first < 0 or last >= len(siblings):
            return None
        before, after = siblings[first].path, siblings[last].path
        return before if before == after else None

    @staticmethod
    def _enclosing(graph: GraphFacts, group: list[NodeFacts]) -> tuple[str, str] | None:
        near = graph.runners.get(id(group[0].node.graph))
        return (near.path, "body") if near is not None and near.path is not None else None


def facts_in_body(group: list[NodeFacts]) -> bool:
    """Whether the group lives in a body or function, whose inputs and outputs don't cross the root's call."""
    return bool(group[0].graph)


def _modules(graph: GraphFacts, nodes: Iterable[ir.Node]) -> set[str]:
    """Of those of the nodes that are decided."""
    found = (graph.by_node.get(node) for node in nodes)
    return {near.path for near in found if near is not None and near.path is not None}
