"""The boundary check: every value that crosses the border of a module call is a tensor that PyTorch recorded there."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.flow import Chain, Edge, Placement
from pytest_htp.parity.references import Side


def bad_crossings(evidences: Evidences, placement: Placement) -> Iterator[tuple[Edge, tuple[int, ...]]]:
    """Edges whose value crosses a border where PyTorch recorded no such tensor, with the orders of the calls concerned.

    Only between nodes that have exactly one place each: of several, one would do, and which is not known.
    """
    for edge in evidences.flow.edges:
        if not evidences.proves(edge.value):
            continue
        failures = []
        for left, entered in placement.crossings(edge, later=True):
            failures.append(_unrecorded(edge.value, left, entered, evidences, moved=placement.moved(edge)))
            if not failures[-1]:
                break
        if failures and failures[-1] and placement.certain(edge):
            yield edge, failures[0]


def _unrecorded(value: ir.Value, left: Chain, entered: Chain, evidences: Evidences, *, moved: bool) -> tuple[int, ...]:
    """Orders of the calls that a value would leave or enter without PyTorch having recorded it there.

    Two ways out of a call are no returned value, and allowed: a cache object that the call wrote to and the
    root returns; and, into code of an enclosing call, what an inner module returned to a hook (transformers
    records hidden states so). One way in is allowed that is no recorded argument: a mask that the model leaves out
    where it masks nothing, except when it is exported. Where a stage moved the border (past a transposition), what
    crosses it has the elements of what was recorded there, in whatever order.
    """
    borders = evidences.references.borders
    reordered = evidences.observation.in_any_order.get(value, set())

    def lacks(side: Side) -> bool:
        return evidences.lacks(value, side) and not (moved and reordered & side.ids)

    bad = [order for order in entered if lacks(borders[order].inputs) and not _left_out(value, borders[order].inputs)]
    if left and not evidences.equal.get(value, set()) & evidences.references.result:
        seen_inside = False
        for order in reversed(left):
            returned = evidences.is_on(value, borders[order].outputs)
            seen_inside = seen_inside or returned
            if not (seen_inside and not entered) and lacks(borders[order].outputs):
                bad.append(order)
    return tuple(bad)


def _left_out(value: ir.Value, inputs: Side) -> bool:
    return value.dtype is ir.DataType.BOOL and all(reference.group[0] != "bool" for reference in inputs.references)
