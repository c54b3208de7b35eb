"""Modules that a rewrite joined into one node: their own results exist nowhere, what they compute together does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from pytest_htp.capture.hierarchy import ModuleCall
from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.flow import Placement


def agrees_jointly(call: ModuleCall, nodes: Iterable[int], evidences: Evidences, placement: Placement) -> bool:
    """Whether a joint node takes what the call took, and makes what PyTorch made of the call's result.

    Three tensors must agree: what enters the node is an argument of the call, of an enclosing one whose own code
    (padding) the node stands for as well, or of one whose result the call takes and the node stands for; in PyTorch,
    the call's result is the argument of another call that the node stands for; and what that call, or one further
    along, returned or handed to a module inside of it (a norm with its own activation) leaves the node.

    Args:
        call: one call of a module.
        nodes: positions of the nodes that the call belongs to by its tag.
        evidences: which tensor each value equals.
        placement: which nodes belong to which call.
    """
    for position in nodes:
        joined = [placement.calls.all[chain[-1]] for chain in placement.chains[position].own]
        node = evidences.flow.nodes[position]
        made = {
            reference for value in _telling(node.outputs, evidences) for reference in evidences.equal.get(value, ())
        }
        if _takes_its_input(call, node, joined, evidences, placement) and _leads_to(
            call, made, joined, evidences, placement
        ):
            return True
    return False


def _takes_its_input(
    call: ModuleCall, node: ir.Node, joined: Sequence[ModuleCall], evidences: Evidences, placement: Placement
) -> bool:
    borders = evidences.references.borders
    around = placement.calls.chain(call.order)
    enclosing = (other.order for other in joined if other.order in around)
    takers = [call.order, *enclosing, *(other.order for other in _before(call, joined, evidences))]
    return any(
        evidences.is_on(value, borders[order].inputs) for value in _telling(node.inputs, evidences) for order in takers
    )


def _before(call: ModuleCall, joined: Sequence[ModuleCall], evidences: Evidences) -> Iterator[ModuleCall]:
    """Calls among the joined whose result the call takes, and those whose result they take."""
    borders = evidences.references.borders
    for other in joined:
        if other.order < call.order and borders[other.order].outputs.ids & borders[call.order].inputs.ids:
            yield other
            yield from _before(other, joined, evidences)


def _telling(values: Iterable[ir.Value | None], evidences: Evidences) -> Iterator[ir.Value]:
    """Values that prove something."""
    for value in values:
        if value is not None and evidences.proves(value):
            yield value


def _leads_to(
    call: ModuleCall, made: set[int], joined: Iterable[ModuleCall], evidences: Evidences, placement: Placement
) -> bool:
    borders = evidences.references.borders
    returned = borders[call.order].outputs.ids
    followers = [other for other in joined if other.order > call.order and returned & borders[other.order].inputs.ids]
    return any(
        borders[other.order].outputs.ids & made
        or _hands_on(other, made, evidences, placement)
        or _leads_to(other, made, joined, evidences, placement)
        for other in followers
    )


def _hands_on(call: ModuleCall, made: set[int], evidences: Evidences, placement: Placement) -> bool:
    """Whether the call handed one of the references to a module that it called itself."""
    inner = (other for other in placement.calls.all if other.parent == call.order)
    return any(evidences.references.borders[other.order].inputs.ids & made for other in inner)
