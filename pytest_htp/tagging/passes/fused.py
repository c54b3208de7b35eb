"""Evidence ``fused``: optimization made the node out of several modules' nodes."""

from __future__ import annotations

from collections.abc import Collection

from pytest_htp.tagging.computed import computed_from_data
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts


class FusedOriginsPass:
    """Recognise nodes whose observed origins lie in more than one module; overrides ``direct``.

    A rewrite (Conv + BatchNorm) and common-subexpression elimination (a mask that every layer computes) join
    several nodes, but the exporter keeps one recorded stack and drops the rest. The marks that travelled
    through the optimizer keep all.

    Rules, in order:

    1. origins without a module (pseudo scopes) don't count; with fewer than two modules left the node is not
       fused;
    2. the tag is the module among the origins that owns the operation's weights (of several: of the largest
       weight);
    3. without such an owner it is the deepest module on the call paths of all origins;
    4. all origins are kept.

    What a folded batch norm had for an epsilon is in its module's weights from then on; it is noted.
    """

    def run(self, graph: GraphFacts) -> None:
        if graph.provenance is None:
            return
        for facts in graph.nodes:
            stacks = graph.origin_stacks(facts)
            if any(value is not None and computed_from_data(value) for value in facts.node.inputs):
                facts.epsilon = next(
                    (each for origin, _ in stacks if (each := graph.epsilon(origin)) is not None), None
                )
            origins = {stack[-1] for _, stack in stacks}
            if facts.recorded is not None:
                origins.add(facts.recorded)
            if len(origins) < 2:
                continue
            owner = self._weight_owner(graph, facts, origins)
            path = owner if owner is not None else graph.deepest_common(origins)
            facts.decide(Evidence.FUSED, path, "weights" if owner is not None else "common", origins)

    @staticmethod
    def _weight_owner(graph: GraphFacts, facts: NodeFacts, origins: Collection[str]) -> str | None:
        sizes: dict[int, set[str]] = {}
        for value in facts.node.inputs:
            if value is None or value.const_value is None:
                continue
            owners = graph.owners(value) & set(origins)
            if len(owners) == 1:
                sizes.setdefault(value.const_value.size, set()).update(owners)
        candidates = sizes[max(sizes)] if sizes else set()
        return candidates.pop() if len(candidates) == 1 else None
