"""Do the tags tell the truth? Two checks that trust PyTorch's tensors and the graph's values, not the
exporter's word.

*Output check*, per call that returned tensors: the value that equals a returned tensor must be made by a node
tagged with that module or one inside it. What proves nothing does not count: constants, values that the call
only passed on, tensors that another call computed equally, the root's own output.

*Boundary check*, per value between two nodes: on its way it leaves some module calls and enters others, as
the tags have it; each of them must have returned, or taken, an equal tensor in PyTorch. Nodes made of several
modules satisfy it if any of their origins does; nodes without a tag, and values that depend on shapes alone,
cross no border that PyTorch could have recorded. Values computed from one that is numerically wrong say
nothing about tags.

A module (the counting unit: one path) is *attested* when the output check holds for a tensor of one of its
calls and nothing contradicts it; *contradicted* when one of its calls fails either check; *unmatched*, with a
reason, otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.contents import Content, Contents
from pytest_htp.parity.divergence import Located, matches
from pytest_htp.parity.flow import ALIASES, Edge, Flow, Placement
from pytest_htp.parity.observe import Observation
from pytest_htp.tagging.coverage import Evidence

ATTESTED = "attested"
CONTRADICTED = "contradicted"

# Why a module could not be attested: the whole vocabulary. Where calls differ, the last of these that applies
# is given.
NO_TENSOR = "no tensor"
ROOT = "the root's own output"
PASS_THROUGH = "pass-through"
OVERWRITTEN = "overwritten in place"
CONSTANT = "constant"
ELSEWHERE = "same value elsewhere"
ABSENT = "not in the optimized graph"
BODY = "inside a control-flow body"
FOLDED = "folded away by a rewrite"
UNTAGGED = "made by a node without a tag"
ASTRAY = "values differ"
REASONS = (
    NO_TENSOR, ROOT, PASS_THROUGH, OVERWRITTEN, CONSTANT, ELSEWHERE, ABSENT, BODY, FOLDED, UNTAGGED, ASTRAY,
)  # fmt: skip


@dataclass
class Attestation:
    """Verdicts per call (by :attr:`ModuleCall.order`) and per module path.

    ``crossings`` are the edges that failed the boundary check, with the orders of the calls they contradict.
    """

    by_call: dict[int, str] = field(default_factory=dict)
    by_module: dict[str, str] = field(default_factory=dict)
    crossings: list[tuple[Edge, tuple[int, ...]]] = field(default_factory=list)

    @property
    def contradicted(self) -> list[str]:
        return [path for path, verdict in self.by_module.items() if verdict == CONTRADICTED]

    def to_dict(self) -> dict[str, Any]:
        verdicts = self.by_module
        return {
            "measured": True,
            "attested": sum(verdict == ATTESTED for verdict in verdicts.values()),
            "contradicted": self.contradicted,
            "unmatched": [
                {"module": path, "reason": verdict}
                for path, verdict in verdicts.items()
                if verdict in REASONS
            ],
        }


@dataclass
class Evidences:
    """What attestation knows besides the tags: it stays the same when only tags change."""

    hierarchy: Hierarchy
    contents: Contents
    flow: Flow
    matching: dict[int, list[ir.Value]]  # content → values that equal it, in graph order
    equal: dict[ir.Value, set[int]]  # the same, by value
    astray: set[ir.Value]  # numerically wrong values and all that is computed from them
    computed_by: dict[int, list[ModuleCall]]  # content → calls that returned it without having taken it

    @classmethod
    def gather(
        cls,
        hierarchy: Hierarchy,
        contents: Contents,
        observation: Observation,
        flow: Flow,
        located: dict[int, Located],
    ) -> Evidences:
        matching: dict[int, list[ir.Value]] = {}
        equal: dict[ir.Value, set[int]] = {}
        for value, hits in observation.hits.items():
            for index, found in hits.items():
                if matches(contents.items[index], found):
                    matching.setdefault(index, []).append(value)
                    equal.setdefault(value, set()).add(index)
        wrong = {
            item.value
            for index, item in located.items()
            if not matches(contents.items[index], item.difference)
        }
        computed_by: dict[int, list[ModuleCall]] = {}
        for call in hierarchy.calls:
            border = contents.borders[call.order]
            for index in border.output_ids - border.input_ids:
                computed_by.setdefault(index, []).append(call)
        return cls(hierarchy, contents, flow, matching, equal, wrong | flow.downstream(wrong), computed_by)


def attest(evidences: Evidences, placement: Placement) -> Attestation:
    """Run both checks for the tags in ``placement``."""
    result = Attestation()
    chained = {order for chains in placement.chains for chain in chains for order in chain}
    for call in evidences.hierarchy.calls:
        result.by_call[call.order] = _check_outputs(call, evidences, placement, chained)
    result.crossings = list(_bad_crossings(evidences, placement))
    for _, orders in result.crossings:
        for order in orders:
            result.by_call[order] = CONTRADICTED
    verdicts: dict[str, list[str]] = {}
    for call in evidences.hierarchy.calls:
        verdicts.setdefault(call.path, []).append(result.by_call[call.order])
    result.by_module = {path: _overall(found) for path, found in verdicts.items()}
    return result


def _overall(verdicts: Iterable[str]) -> str:
    order = (*REASONS, ATTESTED, CONTRADICTED)
    return max(verdicts, key=order.index)


# The output check


def _check_outputs(call: ModuleCall, evidences: Evidences, placement: Placement, chained: set[int]) -> str:
    if call.parent is None:
        return ROOT
    border = evidences.contents.borders[call.order]
    verdicts = [OVERWRITTEN for _ in border.overwritten_outputs]
    verdicts += [_check_output(content, call, evidences, placement, chained) for content in border.outputs]
    return _overall(verdicts) if verdicts else NO_TENSOR


def _check_output(
    content: Content, call: ModuleCall, evidences: Evidences, placement: Placement, chained: set[int]
) -> str:
    if content.index in evidences.contents.borders[call.order].input_ids:
        return PASS_THROUGH
    if content.constant:
        return CONSTANT
    chains = placement.calls.chain
    others = [
        other
        for other in evidences.computed_by[content.index]
        if other.order not in chains(call.order) and call.order not in chains(other.order)
    ]
    if others:
        return ELSEWHERE
    values = evidences.matching.get(content.index, [])
    if not values:
        return _why_absent(call, evidences, placement, chained)
    verdicts = {_check_producer(value, call, evidences, placement) for value in _first_made(values)}
    return verdicts.pop() if len(verdicts) == 1 else ELSEWHERE


def _first_made(values: list[ir.Value]) -> list[ir.Value]:
    """Of equal values, those that no other of them was reshaped or cast to."""
    among = set(values)

    def copied(value: ir.Value) -> bool:
        node = value.producer()
        return node is not None and node.op_type in ALIASES and node.inputs[0] in among

    return [value for value in values if not copied(value)] or values[:1]


def _check_producer(value: ir.Value, call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    producer = value.producer()
    if producer is None:
        return PASS_THROUGH  # a graph input
    position = evidences.flow.position[producer]
    chains = placement.chains[position]
    if any(call.order in chain for chain in chains):
        return ATTESTED
    facts = placement.facts[position]
    if facts.path is None:
        return UNTAGGED
    if value in evidences.astray:
        return ASTRAY
    return FOLDED if facts.evidence is Evidence.FUSED else CONTRADICTED


def _why_absent(call: ModuleCall, evidences: Evidences, placement: Placement, chained: set[int]) -> str:
    region = [i for i, chains in enumerate(placement.chains) if any(call.order in chain for chain in chains)]
    if not region:
        in_body = any(
            facts.graph and facts.path is not None and _inside(facts.path, call.path)
            for facts in placement.everywhere
        )
        return BODY if in_body else ABSENT
    if any(value in evidences.astray for i in region for value in evidences.flow.nodes[i].outputs):
        return ASTRAY
    if any(placement.facts[i].evidence is Evidence.FUSED for i in region):
        return FOLDED
    return ABSENT


def _inside(path: str, enclosing: str) -> bool:
    return path == enclosing or path.startswith(f"{enclosing}.")


# The boundary check


def _bad_crossings(evidences: Evidences, placement: Placement) -> Iterable[tuple[Edge, tuple[int, ...]]]:
    borders = evidences.contents.borders
    for edge in evidences.flow.edges:
        if edge.value in evidences.astray:
            continue
        equal = evidences.equal.get(edge.value, set())
        failures = []
        for left, entered in placement.crossings(edge):
            bad = [order for order in left if not equal & borders[order].output_ids]
            bad += [order for order in entered if not equal & borders[order].input_ids]
            failures.append(tuple(bad))
        if len(failures) == 1 and failures[0]:
            yield edge, failures[0]
