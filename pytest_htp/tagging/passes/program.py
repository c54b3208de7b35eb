"""Evidence ``inferred`` from the exported program: exact, where the ONNX node lost its own record."""

from __future__ import annotations

from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts


class ExportedProgramPass:
    """Ask the exported program, which keeps the call stack of every FX node.

    Rules, in order:

    1. the node's mark (or, without one, the name of a value it makes) leads to the FX node it came from;
    2. that FX node's stack, validated like a recorded one, names the module;
    3. inside a control-flow body the stack is the enclosing call's, extended by the owner of the parameters
       used (rule name ``body``; elsewhere ``program``);
    4. an FX node without a stack, which the exporter itself inserted, has that of the recorded FX nodes before
       and after it where these are of one module call (rule name ``program order``, measured in
       ``docs/reference/inference-rules.md``).
    """

    def run(self, graph: GraphFacts) -> None:
        for facts in graph.undecided():
            stacks = graph.origin_stacks(facts)
            if not stacks:
                continue
            origin, stack = stacks[0]
            facts.decide(Evidence.INFERRED, stack[-1], origin.rule)
            facts.call = origin.frames[-1].call
