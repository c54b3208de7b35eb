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

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.contents import Content, Contents, Side
from pytest_htp.parity.differences import compare_flat
from pytest_htp.parity.divergence import Located, matches
from pytest_htp.parity.flow import Chain, Edge, Flow, Placement, bodies_of
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
STORED = "folded into a constant"
BODY = "inside a control-flow body"
FOLDED = "folded away by a rewrite"
UNTAGGED = "made by a node without a tag"
UNSEEN = "made by a node of a module that was not seen running"
ASTRAY = "values differ"
REASONS = (
    NO_TENSOR, ROOT, PASS_THROUGH, OVERWRITTEN, CONSTANT, ELSEWHERE, ABSENT, STORED, BODY, FOLDED, UNTAGGED,
    UNSEEN, ASTRAY,
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
    shapes: dict[ir.Value, tuple[int, ...]]
    stored: set[int]  # contents that an initializer or a constant of the graph equals
    constant: set[ir.Value]  # values whose elements are all equal
    astray: set[ir.Value]  # numerically wrong values and all that is computed from them
    computed_by: dict[int, list[ModuleCall]]  # content → calls that returned it without having taken it

    def is_on(self, value: ir.Value, side: Side) -> bool:
        """Whether a value equals a tensor on one side of a call's border.

        Its shape decides too where the graph has the tensor in the shape that PyTorch recorded: a value that only is to
        be reshaped into it has not crossed the border yet.
        """
        for index in self.equal.get(value, set()) & side.ids:
            shapes = side.shapes[index]
            if self.shapes[value] in shapes or not any(
                self.shapes[v] in shapes for v in self.matching[index]
            ):
                return True
        return False

    def lacks(self, value: ir.Value, side: Side) -> bool:
        """Whether a value surely is none of the tensors on one side of a call's border.

        A side none of whose tensors occurs in the graph says nothing: the module was exported in another form than it ran.
        """
        if self.is_on(value, side):
            return False
        nothing = not side.contents and not side.overwritten
        return nothing or any(content.index in self.matching for content in side.contents)

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
        for values in matching.values():
            values.sort(key=flow.order)
        wrong = {
            item.value
            for index, item in located.items()
            if not matches(contents.items[index], item.difference)
        }
        computed_by: dict[int, list[ModuleCall]] = {}
        for call in hierarchy.calls:
            border = contents.borders[call.order]
            for index in border.outputs.ids - border.inputs.ids:
                computed_by.setdefault(index, []).append(call)
        return cls(
            hierarchy,
            contents,
            flow,
            matching,
            equal,
            observation.shapes,
            _stored(contents, flow),
            observation.constant,
            wrong | flow.downstream(wrong),
            computed_by,
        )


def _stored(contents: Contents, flow: Flow) -> set[int]:
    """Contents among the constants that nodes read: what a module returned for every input was computed in advance."""
    stored: set[int] = set()
    for value in dict.fromkeys(value for node in flow.nodes for value in node.inputs):
        tensor = value.const_value if value is not None else None
        if tensor is None or not contents.has_size(math.prod(tensor.shape.numpy())):
            continue
        try:
            elements = torch.from_numpy(np.array(tensor.numpy()))
        except TypeError:  # a type that torch lacks (strings, 4-bit numbers, bfloat16 of ml_dtypes)
            continue
        for content in contents.candidates(elements):
            if matches(content, compare_flat("", content.tensor, elements, content.tolerance, content.scale)):
                stored.add(content.index)
    return stored


def attest(evidences: Evidences, placement: Placement) -> Attestation:
    """Run both checks for the tags in ``placement``."""
    result = Attestation()
    for call in evidences.hierarchy.calls:
        result.by_call[call.order] = _check_outputs(call, evidences, placement)
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


def _check_outputs(call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    if call.parent is None:
        return ROOT
    border = evidences.contents.borders[call.order]
    verdicts = [OVERWRITTEN] * min(border.outputs.overwritten, 1)
    verdicts += [_check_output(content, call, evidences, placement) for content in border.outputs.contents]
    return _overall(verdicts) if verdicts else NO_TENSOR


def _check_output(content: Content, call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    if content.index in evidences.contents.borders[call.order].inputs.ids:
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
    if not values and content.index in evidences.stored:
        return STORED
    if not values:
        return _why_absent(call, evidences, placement)
    verdicts = {
        _check_producer(value, call, evidences, placement) for value in _first_made(values, evidences.flow)
    }
    return verdicts.pop() if len(verdicts) == 1 else ELSEWHERE


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
        return PASS_THROUGH  # a graph input
    position = evidences.flow.position[producer]
    chains = placement.chains[position]
    if chains.include(call.order):
        return ATTESTED
    facts = placement.facts[position]
    if facts.path is None:
        return UNTAGGED
    if not chains.own:
        return UNSEEN
    if any(bodies_of(producer)):
        return BODY
    if value in evidences.astray:
        return ASTRAY
    return FOLDED if facts.evidence is Evidence.FUSED else CONTRADICTED


def _why_absent(call: ModuleCall, evidences: Evidences, placement: Placement) -> str:
    region = [i for i, chains in enumerate(placement.chains) if chains.include(call.order)]
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
    for edge in evidences.flow.edges:
        if edge.value in evidences.astray or edge.value in evidences.constant:
            continue
        failures = []
        for left, entered in placement.crossings(edge):
            failures.append(_unrecorded(edge.value, left, entered, evidences))
            if not failures[-1]:
                break
        if failures and failures[-1] and placement.certain(edge):
            yield edge, failures[0]


def _unrecorded(value: ir.Value, left: Chain, entered: Chain, evidences: Evidences) -> tuple[int, ...]:
    """Orders of the calls that value would leave or enter without PyTorch having recorded it there.

    Two ways out of a call are no returned value, and allowed: a cache object that the call wrote to and the root returns; and,
    into code of an enclosing call, what an inner module returned to a hook (transformers records hidden states so).
    """
    borders = evidences.contents.borders
    bad = [order for order in entered if evidences.lacks(value, borders[order].inputs)]
    if left and not evidences.equal.get(value, set()) & evidences.contents.result:
        seen_inside = False
        for order in reversed(left):
            returned = evidences.is_on(value, borders[order].outputs)
            seen_inside = seen_inside or returned
            if not (seen_inside and not entered) and evidences.lacks(value, borders[order].outputs):
                bad.append(order)
    return tuple(bad)
