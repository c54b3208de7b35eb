"""Where an error enters: the first module call whose output is off while its inputs still agree.

1. Each recorded content is located in the graph: a value that equals it; else the value that crosses the
   border where PyTorch recorded it, unless that equals another content. A graph output is what the root returned there,
   whatever it holds.
2. A value far from the content at its place is only believed to be that content gone wrong if the error goes
   on, to everything recorded that is computed from it: where some of that agrees, it is simply another value (the
   optimizer moved the border).
3. Calls are taken in completion order. A call is off where an output is beyond tolerance; and already where it
   differs by more than the threshold of its element type *and* by ten times more than anything before it: noise that
   accumulates over hundreds of layers rises slowly, an error jumps.
4. A call that returns what it took (a scale of one) is judged by the value that leaves its own nodes, not by the equal
   one it was made of.
5. The first call that is off is blamed if its inputs agree. Where an input is off too, the error came from
   the code between the calls, which is the enclosing call's own: it is blamed instead, and so on outwards. So
   it is where an input was overwritten in place since, which leaves open whether it agreed.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.contents import Content, Contents
from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.observe import Observation
from pytest_htp.parity.result import Difference, Divergence

# How far a difference must stand out from all before it to be an error and no noise.
GROWTH = 10.0
# A value at the place of a content and no further from it than this, relative to its largest magnitude, is
# that content gone wrong; unrelated values differ by about once or twice their magnitude.
SAME_PLACE = 0.5


@dataclass(frozen=True, slots=True)
class Located:
    """The value that a content is in the graph, and how far it is from it."""

    value: ir.Value
    difference: Difference


def locate(
    contents: Contents,
    observation: Observation,
    flow: Flow,
    anchors: Mapping[ir.Value, int],
    moved: Container[ir.Value] = (),
) -> dict[int, Located]:
    """Content index → where it is in the graph, for contents that were found; ``anchors`` surely are there.

    ``moved``: values at nodes that a stage fused, inside of which the border may be now: they are believed only like
    those far off.
    """
    located: dict[int, Located] = {}
    anchored = {index: value for value, index in anchors.items()}
    doubtful: dict[int, Located] = {}
    equal = observation.equal_values(contents)
    by_place = _by_content(observation.expected)
    taken = {value for found in equal.values() for value in found}
    for content in contents.items:
        if content.constant:
            continue
        index = content.index
        if index in equal:
            located[index] = _closest([Located(*found) for found in equal[index].items()])
            continue
        value = anchored.get(index)
        if value is not None and index in observation.expected.get(value, {}):
            located[index] = Located(value, observation.expected[value][index])
            continue
        placed = [place for place in by_place.get(index, []) if place.value not in taken]
        if placed:
            closest = _closest(placed)
            near = closest.difference.max_rel <= SAME_PLACE and closest.value not in moved
            target = located if near else doubtful
            target[index] = closest
    return located | _credible(doubtful, located, contents, flow)


def locate_passed_on(
    contents: Contents, observation: Observation, flow: Flow, placement: Placement
) -> dict[int, Located]:
    """Call → the value that leaves its nodes, for calls whose one result equals what they took, where that value
    does not.
    """
    passing = {
        order: border.outputs.contents[0].index
        for order, border in enumerate(contents.borders)
        if len(border.outputs.contents) == 1 and border.outputs.contents[0].index in border.inputs.ids
    }
    equal = observation.equal_values(contents) if passing else {}
    found: dict[int, Located] = {}
    for edge in flow.edges if passing else ():
        row = observation.expected.get(edge.value, {})
        for left, _ in placement.crossings(edge, later=False) if row else ():
            for order in left:
                index = passing.get(order, -1)
                if index in row and edge.value not in equal.get(index, {}) and row[index].max_rel <= SAME_PLACE:
                    found[order] = Located(edge.value, row[index])
    return found


def is_off(content: Content, difference: Difference, noise: float = 0.0) -> bool:
    """Whether a value is off; ``noise`` is the largest difference of what came before it and is not."""
    if difference.nonfinite or difference.beyond:
        return True
    return difference.max_rel > max(content.tolerance.localise, GROWTH * noise)


def _by_content(table: dict[ir.Value, dict[int, Difference]]) -> dict[int, list[Located]]:
    turned: dict[int, list[Located]] = {}
    for value, row in table.items():
        for index, difference in row.items():
            turned.setdefault(index, []).append(Located(value, difference))
    return turned


def _closest(found: list[Located]) -> Located:
    return min(found, key=lambda item: (item.difference.nonfinite, item.difference.max_rel))


def _credible(
    doubtful: dict[int, Located], located: dict[int, Located], contents: Contents, flow: Flow
) -> dict[int, Located]:
    """Those of the doubtful whose error goes on: a content located next is clearly off, and none agrees.

    Clearly, since what is far off here can't be only just beyond noise there.
    """
    off: dict[ir.Value, bool] = {}
    for index, item in located.items():
        content, found = contents.items[index], item.difference
        clearly = found.nonfinite > 0 or found.max_rel > GROWTH * content.tolerance.localise
        off[item.value] = off.get(item.value, False) or clearly
    stop = frozenset(off)
    going_on = {}
    for index, item in doubtful.items():
        next_ones = [off[value] for value in flow.downstream([item.value], stop) & stop]
        if next_ones and all(next_ones):
            going_on[index] = item
    return going_on


def first_divergence(
    hierarchy: Hierarchy, contents: Contents, located: dict[int, Located], passed_on: dict[int, Located]
) -> Divergence | None:
    """The call where an error enters, None where none does."""
    noise = 0.0
    completed = sorted((call for call in hierarchy.calls if call.completed is not None), key=lambda c: c.completed or 0)
    for call in completed:
        worst = _worst_returned(call, contents, located, passed_on)
        if worst is None:
            continue
        content, found = worst
        if not is_off(content, found, noise):
            noise = max(noise, found.max_rel if content.group[0] == "float" else 0.0)
            continue
        blamed = _blame(hierarchy, call, contents, located, noise)
        if found.nonfinite:
            return Divergence(blamed.path, math.inf, math.inf, blamed.call)
        return Divergence(blamed.path, found.max_abs, found.max_rel, blamed.call)
    return None


def module_differences(
    hierarchy: Hierarchy, contents: Contents, located: dict[int, Located], passed_on: dict[int, Located]
) -> dict[str, Difference]:
    """Module path → its worst difference over calls and returned tensors, in execution order, where one was located."""
    modules: dict[str, Difference] = {}
    for call in hierarchy.calls:
        worst = _worst_returned(call, contents, located, passed_on)
        if worst is None:
            continue
        known = modules.get(call.path)
        if known is None or (worst[1].nonfinite, worst[1].max_rel) > (known.nonfinite, known.max_rel):
            modules[call.path] = replace(worst[1], name=call.path)
    return modules


def _blame(
    hierarchy: Hierarchy, call: ModuleCall, contents: Contents, located: dict[int, Located], noise: float
) -> ModuleCall:
    while call.parent is not None:
        border = contents.borders[call.order]
        worst = _worst(border.inputs.contents, located)
        off = worst is not None and is_off(*worst, noise)
        if not off and not border.inputs.overwritten:
            break
        call = hierarchy.calls[call.parent]
    return call


def _worst_returned(
    call: ModuleCall, contents: Contents, located: dict[int, Located], passed_on: dict[int, Located]
) -> tuple[Content, Difference] | None:
    returned = contents.borders[call.order].outputs.contents
    if call.order in passed_on:
        return returned[0], passed_on[call.order].difference
    return _worst(returned, located)


def _worst(border: list[Content], located: dict[int, Located]) -> tuple[Content, Difference] | None:
    """The located content that is furthest off, measured in thresholds of its element type."""
    found = [(content, located[content.index].difference) for content in border if content.index in located]
    if not found:
        return None
    return max(
        found,
        key=lambda item: (item[1].nonfinite > 0, item[1].max_rel / (item[0].tolerance.localise or 1e-12)),
    )
