"""Where an error enters: the first module call whose output is off while its inputs still agree.

1. Each recorded reference is located in the graph: a value that equals it; else the value that crosses the
   border where PyTorch recorded it, unless that equals another reference; else, where no value crosses such a border
   (the call only handed it on), a value within a percent of it that equals none. (What the call took is no other
   reference where a node of the call's own gives the value: a module scaled by zero returns it. A module that is not
   in the graph has no such node.) A graph output is what the root returned there, whatever it holds.
2. A value far from the reference at its place is only believed to be that reference gone wrong if the error goes
   on, to everything recorded that is computed from it: where some of that agrees, it is simply another value (the
   optimizer moved the border). Or if nobody moved the border: the module's own node gives it, by the exporter's
   record of that node and of its readers, and all that the call took agrees. (A softmax removes what a bias of keys
   adds.)
3. Calls are taken in completion order. A call is off where an output is beyond tolerance; and already where it
   differs by more than the threshold of its element type *and* by ten times more than anything before it: noise that
   accumulates over hundreds of layers rises slowly, an error jumps. Both are asked of the largest difference, which
   one wrong element moves, and of the root mean square, which rounding moves least.
4. A call that returns what it took (a scale of one) is judged by the value that leaves its own nodes, not by the equal
   one it was made of.
5. The first call that is off is blamed if its inputs agree. Where an input is off too, the error came from
   the code between the calls, which is the enclosing call's own: it is blamed instead, and so on outwards. So
   it is where an input was overwritten in place since, which leaves open whether it agreed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import onnx_ir as ir

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.observe import Observation
from pytest_htp.parity.references import Reference, References
from pytest_htp.parity.result import Difference, Divergence

# What these decide is measured by benchmarks/thresholds.py: docs/reference/parity.md, "First divergence".
# How far a difference must stand out from all before it to be an error and no noise.
GROWTH = 10.0
# A value at the place of a reference and no further from it than this, relative to its largest magnitude, is
# that reference gone wrong; unrelated values differ by about once or twice their magnitude.
SAME_PLACE = 0.5
# For comparing what is off in exact types with floats: any difference of theirs is worse.
_EXACT = 1e-12


@dataclass(frozen=True, slots=True)
class Located:
    """The value that a reference is in the graph, and how far it is from it."""

    value: ir.Value
    difference: Difference


def locate(
    observation: Observation, flow: Flow, anchors: Mapping[ir.Value, int], placement: Placement
) -> dict[int, Located]:
    """Reference index → where it is in the graph, for those that were found; ``anchors`` surely are there."""
    references = observation.references
    moved = _moved(placement)
    located: dict[int, Located] = {}
    anchored = {index: value for value, index in anchors.items()}
    doubtful: dict[int, Located] = {}
    equal = observation.equal_values()
    by_place = _by_reference(observation.expected)
    taken: dict[ir.Value, set[int]] = {}
    for index, found in equal.items():
        for same in found:
            taken.setdefault(same, set()).add(index)
    for reference in references.items:
        if reference.constant:
            continue
        index = reference.index
        if index in equal:
            located[index] = _closest([Located(*found) for found in equal[index].items()])
            continue
        value = anchored.get(index)
        if value is not None and index in observation.expected.get(value, {}):
            located[index] = Located(value, observation.expected[value][index])
            continue
        given = references.given_to_makers(index)
        placed = [
            place
            for place in by_place.get(index, [])
            if (others := taken.get(place.value, set())) <= given
            and (not others or _is_made_in(references.innermost_makers(index), place.value, placement, flow))
        ]
        if placed:
            closest = _closest(placed)
            near = closest.difference.max_rel <= SAME_PLACE and closest.value not in moved
            target = located if near else doubtful
            target[index] = closest
        elif index not in by_place and (alike := _alike(index, observation, taken)):
            located[index] = _closest(alike)
    in_place = {index: item for index, item in doubtful.items() if item.value not in moved}
    located |= _unmoved(in_place, located, references, placement, flow)
    return located | _credible(doubtful, located, references, flow)


def _alike(index: int, observation: Observation, taken: Mapping[ir.Value, set[int]]) -> list[Located]:
    """Values that look like a reference and equal none: what a module returned that only handed it on, in the code of
    the module around it.
    """
    return [
        Located(value, row[index])
        for value, row in observation.hits.items()
        if index in row and value not in taken and not row[index].nonfinite
    ]


def _is_made_in(calls: set[int], value: ir.Value, placement: Placement, flow: Flow) -> bool:
    producer = value.producer()
    if producer is None or producer not in flow.position:
        return False
    return any(not calls.isdisjoint(chain) for chain in placement.at(flow.position[producer], value).own)


def _moved(placement: Placement) -> set[ir.Value]:
    """What nodes read and make that stand for several nodes of the graph before a stage: the border may be inside of
    them now. Such values are believed only like those far off.
    """
    fused = [facts.node for facts in placement.facts if len(facts.stands_for) > 1]
    return {value for node in fused for value in (*node.inputs, *node.outputs) if value is not None}


def _unmoved(
    doubtful: dict[int, Located], located: dict[int, Located], references: References, placement: Placement, flow: Flow
) -> dict[int, Located]:
    """Those of the doubtful whose call took what agrees, and whose border is where the exporter recorded it."""
    agreeing = {reference.index for reference in references.items if reference.constant}
    agreeing |= {index for index, item in located.items() if not is_off(references.items[index], item.difference)}
    found = {}
    for index, item in doubtful.items():
        ends = [item.value.producer(), *flow.readers(item.value)]
        recorded = all(node in flow.position and placement.recorded(flow.position[node]) for node in ends)
        orders = references.innermost_makers(index) if recorded else ()
        took = [references.borders[order].inputs for order in orders]
        if took and all(side.ids and not side.overwritten and side.ids <= agreeing for side in took):
            found[index] = item
    return found


def locate_passed_on(observation: Observation, flow: Flow, placement: Placement) -> dict[int, Located]:
    """Call → the value that leaves its nodes, for calls whose one result equals what they took, where that value
    does not.
    """
    passing = {
        order: border.outputs.references[0].index
        for order, border in enumerate(observation.references.borders)
        if len(border.outputs.references) == 1 and border.outputs.references[0].index in border.inputs.ids
    }
    equal = observation.equal_values() if passing else {}
    found: dict[int, Located] = {}
    for edge in flow.edges if passing else ():
        row = observation.expected.get(edge.value, {})
        for left, _ in placement.crossings(edge, later=False) if row else ():
            for order in left:
                index = passing.get(order, -1)
                if index in row and edge.value not in equal.get(index, {}) and row[index].max_rel <= SAME_PLACE:
                    found[order] = Located(edge.value, row[index])
    return found


class Noise(NamedTuple):
    """The largest differences of what came before and is not off: of single elements, and of root mean squares."""

    max_rel: float = 0.0
    spread: float = 0.0

    def with_(self, difference: Difference) -> Noise:
        """That of one more tensor."""
        return Noise(max(self.max_rel, difference.max_rel), max(self.spread, difference.spread))


SILENCE = Noise()


def is_off(reference: Reference, difference: Difference, noise: Noise = SILENCE) -> bool:
    """Whether a value is off, with this noise before it."""
    return _excess(reference, difference, noise) > 1.0


def _excess(reference: Reference, difference: Difference, noise: Noise) -> float:
    """How many times more a value differs than one that is not off may."""
    if difference.nonfinite or difference.beyond:
        return math.inf
    tolerance = reference.tolerance
    single = difference.max_rel / max(tolerance.localise or _EXACT, GROWTH * noise.max_rel)
    return max(single, difference.spread / max(tolerance.spread or _EXACT, GROWTH * noise.spread))


def _by_reference(table: dict[ir.Value, dict[int, Difference]]) -> dict[int, list[Located]]:
    turned: dict[int, list[Located]] = {}
    for value, row in table.items():
        for index, difference in row.items():
            turned.setdefault(index, []).append(Located(value, difference))
    return turned


def _closest(found: list[Located]) -> Located:
    return min(found, key=lambda item: (item.difference.nonfinite, item.difference.max_rel))


def _credible(
    doubtful: dict[int, Located], located: dict[int, Located], references: References, flow: Flow
) -> dict[int, Located]:
    """Those of the doubtful whose error goes on: a reference located next is clearly off, and none agrees.

    Clearly, since what is far off here can't be only just beyond noise there.
    """
    off: dict[ir.Value, bool] = {}
    for index, item in located.items():
        reference, found = references.items[index], item.difference
        clearly = found.nonfinite > 0 or found.max_rel > GROWTH * reference.tolerance.localise
        off[item.value] = off.get(item.value, False) or clearly
    stop = frozenset(off)
    going_on = {}
    for index, item in doubtful.items():
        next_ones = [off[value] for value in flow.downstream([item.value], stop) & stop]
        if next_ones and all(next_ones):
            going_on[index] = item
    return going_on


def first_divergence(
    hierarchy: Hierarchy, references: References, located: dict[int, Located], passed_on: dict[int, Located]
) -> Divergence | None:
    """The call where an error enters, None where none does."""
    noise = SILENCE
    completed = sorted((call for call in hierarchy.calls if call.completed is not None), key=lambda c: c.completed or 0)
    for call in completed:
        worst = _worst_returned(call, references, located, passed_on, noise)
        if worst is None:
            continue
        reference, found = worst
        if not is_off(reference, found, noise):
            noise = noise.with_(found) if reference.group[0] == "float" else noise
            continue
        blamed = _blame(hierarchy, call, references, located, noise)
        if found.nonfinite:
            return Divergence(blamed.path, math.inf, math.inf, blamed.call)
        return Divergence(blamed.path, found.max_abs, found.max_rel, blamed.call)
    return None


def module_differences(
    hierarchy: Hierarchy, references: References, located: dict[int, Located], passed_on: dict[int, Located]
) -> dict[str, Difference]:
    """Module path → its worst difference over calls and returned tensors, in execution order, where one was located."""
    modules: dict[str, Difference] = {}
    for call in hierarchy.calls:
        worst = _worst_returned(call, references, located, passed_on, SILENCE)
        if worst is None:
            continue
        known = modules.get(call.path)
        if known is None or (worst[1].nonfinite, worst[1].max_rel) > (known.nonfinite, known.max_rel):
            modules[call.path] = replace(worst[1], name=call.path)
    return modules


def _blame(
    hierarchy: Hierarchy, call: ModuleCall, references: References, located: dict[int, Located], noise: Noise
) -> ModuleCall:
    while call.parent is not None:
        border = references.borders[call.order]
        worst = _worst(border.inputs.references, located, noise)
        off = worst is not None and is_off(*worst, noise)
        if not off and not border.inputs.overwritten:
            break
        call = hierarchy.calls[call.parent]
    return call


def _worst_returned(
    call: ModuleCall,
    references: References,
    located: dict[int, Located],
    passed_on: dict[int, Located],
    noise: Noise,
) -> tuple[Reference, Difference] | None:
    returned = references.borders[call.order].outputs.references
    if call.order in passed_on:
        return returned[0], passed_on[call.order].difference
    return _worst(returned, located, noise)


def _worst(
    border: list[Reference], located: dict[int, Located], noise: Noise = SILENCE
) -> tuple[Reference, Difference] | None:
    """The located reference that is furthest off, measured in what is noise for its element type."""
    found = [(reference, located[reference.index].difference) for reference in border if reference.index in located]
    if not found:
        return None
    return max(found, key=lambda item: (item[1].nonfinite > 0, _excess(item[0], item[1], noise), item[1].max_rel))
