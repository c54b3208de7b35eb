"""Do the tags tell the truth? Two checks that trust PyTorch's tensors and the graph's values, no exporter's word.

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
reason, otherwise. A module whose result a rewrite folded away may still agree *jointly*, with those it was joined
with (``joined``): a reason of its own, since no value of the graph is the module's result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from pytest_htp.capture.hierarchy import ModuleCall
from pytest_htp.format.paths import lies_in
from pytest_htp.parity import reasons
from pytest_htp.parity.boundary import bad_crossings
from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.flow import Edge, Flow, Placement
from pytest_htp.parity.joined import agrees_jointly
from pytest_htp.parity.references import Reference
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import bodies_in

ATTESTED = "attested"
CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Attestation:
    """Verdicts per module path.

    ``crossings`` are the edges that failed the boundary check, with the orders of the calls they contradict.
    """

    by_module: dict[str, str]
    crossings: list[tuple[Edge, tuple[int, ...]]]

    @property
    def contradicted(self) -> list[str]:
        """Paths of the modules whose tag the values contradict."""
        return [path for path, verdict in self.by_module.items() if verdict == CONTRADICTED]

    def to_dict(self) -> dict[str, object]:
        """As the record has it."""
        verdicts = self.by_module
        return {
            "measured": True,
            "attested": sum(verdict == ATTESTED for verdict in verdicts.values()),
            "contradicted": self.contradicted,
            "unmatched": [
                {"module": path, "reason": verdict} for path, verdict in verdicts.items() if verdict in reasons.REASONS
            ],
        }


def attest(evidences: Evidences, placement: Placement) -> Attestation:
    """Run both checks for the tags in ``placement``."""
    crossings = list(bad_crossings(evidences, placement))
    contradicted = {order for _, orders in crossings for order in orders}
    verdicts: dict[str, list[str]] = {}
    for call in evidences.hierarchy.calls:
        verdict = CONTRADICTED if call.order in contradicted else _check_outputs(call, evidences, placement)
        verdicts.setdefault(call.path, []).append(verdict)
    return Attestation({path: _overall(found) for path, found in verdicts.items()}, crossings)


def _overall(verdicts: Iterable[str]) -> str:
    order = (*reasons.REASONS, ATTESTED, CONTRADICTED)
    return max(verdicts, key=order.index)


def _check_outputs(call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    if call.parent is None:
        return reasons.ROOT
    border = evidences.references.borders[call.order]
    verdicts = [reasons.OVERWRITTEN] * min(border.outputs.overwritten, 1)
    verdicts += [_check_output(reference, call, evidences, placement) for reference in border.outputs.references]
    return _overall(verdicts) if verdicts else reasons.NO_TENSOR


def _check_output(reference: Reference, call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    if reference.index in evidences.references.borders[call.order].inputs.ids:
        return reasons.PASS_THROUGH
    if reference.constant:
        return reasons.CONSTANT
    chains = placement.calls.chain
    makers = evidences.references.makers(reference.index)
    if any(order not in chains(call.order) and call.order not in chains(order) for order in makers):
        return reasons.ELSEWHERE
    values = evidences.matching.get(reference.index, [])
    if not values and reference.index in evidences.stored:
        return reasons.STORED
    if not values:
        return _why_absent(call, evidences, placement)
    verdicts = {_check_producer(value, call, evidences, placement) for value in _first_made(values, evidences.flow)}
    if verdicts == {CONTRADICTED} and _may_be_made_inside(reference, call, evidences, placement):
        return reasons.ELSEWHERE
    return verdicts.pop() if len(verdicts) == 1 else reasons.ELSEWHERE


def _may_be_made_inside(reference: Reference, call: ModuleCall, evidences: Evidences, placement: Placement) -> bool:
    """Whether a value that the call's own nodes make is within tolerance as well: which it is can't be determined."""
    return any(
        reference.index in possible
        and evidences.flow.order(value) >= 0
        and placement.chains[evidences.flow.order(value)].include(call.order)
        for value, possible in evidences.possible.items()
    )


def _first_made(values: list[ir.Value], flow: Flow) -> list[ir.Value]:
    """Of equal values, in graph order, those that were not computed from another of them (reshaped, padded and cut)."""
    first: list[ir.Value] = []
    derived: set[ir.Value] = set()
    for value in values:
        if value not in derived:
            first.append(value)
            if len(values) > 1:
                derived |= flow.downstream([value])
    return first


def _check_producer(value: ir.Value, call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    producer = value.producer()
    if producer is None:
        return reasons.PASS_THROUGH  # a graph input
    position = evidences.flow.position[producer]
    chains = placement.chains[position]
    if chains.include(call.order):
        return ATTESTED
    facts = placement.facts[position]
    if facts.path is None:
        return reasons.UNTAGGED
    if not chains.own:
        return reasons.UNSEEN
    if any(bodies_in(producer)):
        return reasons.BODY
    if value in evidences.diverged:
        return reasons.VALUES_DIFFER
    if position in placement.replayed:
        return reasons.ELSEWHERE
    return reasons.FOLDED if facts.evidence is Evidence.FUSED else CONTRADICTED


def _why_absent(call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    region = [i for i, chains in enumerate(placement.chains) if chains.include(call.order)]
    if not region:
        in_body = any(
            facts.graph and facts.path is not None and lies_in(facts.path, call.path) for facts in placement.everywhere
        )
        return reasons.BODY if in_body else reasons.ABSENT
    if any(value in evidences.diverged for i in region for value in evidences.flow.nodes[i].outputs):
        return reasons.VALUES_DIFFER
    joint = [i for i in region if placement.facts[i].evidence is Evidence.FUSED]
    if joint:
        return reasons.JOINED if agrees_jointly(call, joint, evidences, placement) else reasons.FOLDED
    return reasons.UNLIKE
