"""Run the passes over a graph and collect the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from pytest_htp.tagging.coverage import Coverage, Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.passes import EvidencePass, default_passes
from pytest_htp.vocabulary import ModuleInfo

if TYPE_CHECKING:
    from pytest_htp.capture.provenance import Provenance


@dataclass
class Tagging:
    """The decided nodes of one model, in graph order, and what follows from them."""

    graph: GraphFacts

    @property
    def nodes(self) -> list[NodeFacts]:
        """All nodes with their decisions, in the graph's order, bodies included."""
        return self.graph.nodes

    @property
    def tags(self) -> dict[str, str]:
        """Node key → tag, for tagged nodes only."""
        modules = self.graph.modules
        return {facts.key: modules[facts.path].tag for facts in self.nodes if facts.path is not None}

    @property
    def coverage(self) -> Coverage:
        """Shares of the nodes by evidence."""
        return Coverage.of((facts.evidence, facts.path == "") for facts in self.nodes)

    @property
    def details(self) -> dict[str, dict[str, object]]:
        """Every node's key → ``{"op_type", "domain", "evidence", "rule", "origins", "graph", "call"}``.

        Of a graph made of another one also ``"stands_for"`` (keys of the nodes there) or ``"cause"`` (why a node has
        no evidence), where there is any.
        """
        return {
            facts.key: {
                "op_type": facts.node.op_type,
                "domain": facts.node.domain,
                "evidence": facts.evidence.value,
                "rule": facts.rule,
                "origins": list(facts.origins),
                "graph": facts.graph,
                "call": facts.call,
                **({"stands_for": list(facts.stands_for)} if facts.stands_for else {}),
                **({"cause": facts.cause} if facts.cause is not None else {}),
            }
            for facts in self.nodes
        }


def tag_graph(
    model: ir.Model,
    modules: Mapping[str, ModuleInfo],
    provenance: Provenance | None = None,
    *,
    shared_parameters: Mapping[str, tuple[str, ...]] | None = None,
    zero_biases: Mapping[str, int] | None = None,
    passes: Sequence[EvidencePass] | None = None,
) -> Tagging:
    """Decide tag and evidence of every node of ``model``; the model itself is not changed.

    Args:
        model: the graph.
        modules: the model's modules by path (their ``tag`` is what nodes get).
        provenance: what was observed during the export, None where nothing was.
        shared_parameters: parameter or buffer name → all names of that tensor.
        zero_biases: parameters of zeros, which optimization may have left out → elements.
        passes: evidence passes in order; None runs the default ones.
    """
    graph = GraphFacts(model, modules, provenance, shared_parameters or {}, zero_biases=zero_biases or {})
    for evidence_pass in default_passes() if passes is None else passes:
        evidence_pass.run(graph)
    for facts in graph.nodes:
        if facts.path is None:
            facts.evidence = Evidence.NONE
    return Tagging(graph)
