"""Evidence ``direct``: the exporter recorded a call stack on the node."""

from __future__ import annotations

from pytest_htp.capture.program import GENERATED
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts


class RecordedStackPass:
    """Take the call stack in a node's own metadata at its word, once it is validated.

    Rules, in order:

    1. both lists (paths, classes) are there, well formed and of the same length;
    2. every path on the stack is a module of this model, with that class (generated names of parametrized and
       compiled wrappers count as the wrapped class);
    3. the innermost module is the node's tag;
    4. where the exporter could not be watched joining nodes (:attr:`Provenance.sees_joins`), it may be one of several:
       the evidence is ``inferred`` then.

    A stack that the program knows to go on, into a traced module whose calls no tracer records, says too little: the
    node is left to the program.

    Anything else, such as ``_empty_nn_module_stack_from_metadata_hook``, is no evidence.
    """

    def run(self, graph: GraphFacts) -> None:
        trusted = graph.provenance is None or graph.provenance.sees_joins
        for facts in graph.nodes:
            stack = graph.own_stack(facts)
            if stack is None or self._goes_on(graph, facts, stack):
                continue
            facts.recorded = stack[-1]
            facts.decide(Evidence.DIRECT if trusted else Evidence.INFERRED, stack[-1], "recorded")
            calls = {origin.frames[-1].call for origin, paths in graph.origin_stacks(facts) if paths[-1] == stack[-1]}
            facts.call = min(calls) if calls else None

    @staticmethod
    def _goes_on(graph: GraphFacts, facts: NodeFacts, stack: tuple[str, ...]) -> bool:
        origins = graph.origin_stacks(facts)
        return bool(origins) and all(
            origin.rule == GENERATED and len(paths) > len(stack) and paths[: len(stack)] == stack
            for origin, paths in origins
        )
