"""Hold every value of one ONNX Runtime run against what PyTorch recorded; keep the verdicts, never the values."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import onnx_ir as ir
import torch

from pytest_htp.parity.differences import compare_flat, flat, is_constant
from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.references import Reference, References, group_of, matches, stored_shape
from pytest_htp.parity.result import Difference
from pytest_htp.parity.shapes import axis_sizes, size_of

# What these decide is measured by benchmarks/thresholds.py: docs/reference/parity.md, "First divergence".
# Of several values within tolerance of one reference, those count that are no more than this many times further
# off than the closest.
CLOSEST = 4.0
# A difference below this share of the threshold at which a module is off is rounding: of such values none is closer.
NOISE = 0.1


@dataclass
class Observation:
    """Graph values against recorded references.

    Attributes:
        references: what PyTorch recorded.
        hits: value → references whose sample it agrees with to a percent, with the full difference.
        expected: value → references that it should be by its place (it crosses the border of a call that took
            or returned one of such a shape), with the full difference.
        moved: values that are compared in any order as well.
        in_any_order: such a value → references that have its elements.
        constant: values whose elements are all equal; they prove nothing.
        shapes: value → its shape.
    """

    references: References
    hits: dict[ir.Value, dict[int, Difference]] = field(default_factory=dict)
    expected: dict[ir.Value, dict[int, Difference]] = field(default_factory=dict)
    moved: frozenset[ir.Value] = frozenset()
    in_any_order: dict[ir.Value, set[int]] = field(default_factory=dict)
    constant: set[ir.Value] = field(default_factory=set)
    shapes: dict[ir.Value, tuple[int, ...]] = field(default_factory=dict)

    def add(self, value: ir.Value, tensor: torch.Tensor, places: Mapping[ir.Value, set[int]]) -> None:
        """Compare one value. ``places``: indices of the references it should be by its place."""
        self.shapes[value] = tuple(tensor.shape)
        elements = flat(tensor)
        hits: dict[int, Difference] = {}
        if is_constant(elements):
            self.constant.add(value)  # all zero, or infinite: it may still be a reference gone wrong
        else:
            hits = {reference.index: _compare(reference, tensor) for reference in self.references.candidates(tensor)}
        if hits:
            self.hits[value] = hits
        if value in self.moved:
            self.in_any_order[value] = self.references.in_any_order(tensor)
        by_place = {}
        for index in sorted(places.get(value, ())):
            reference = self.references.items[index]
            if reference.group == group_of(tensor) and mergeable(stored_shape(reference.tensor), tensor.shape):
                by_place[index] = hits[index] if index in hits else _compare(reference, tensor)
        if by_place:
            self.expected[value] = by_place

    def may_be(self) -> dict[ir.Value, set[int]]:
        """Value → references that it is within tolerance of, and not much further off than of the closest, whether or
        not another value is closer to them.
        """
        possible: dict[ir.Value, set[int]] = {}
        for value, hits in self.hits.items():
            limit = CLOSEST * min(found.max_rel for found in hits.values())
            possible[value] = {
                index
                for index, found in hits.items()
                if matches(reference := self.references.items[index], found)
                and found.max_rel <= max(NOISE * reference.tolerance.localise, limit)
            }
        return possible

    def equal_values(self) -> dict[int, dict[ir.Value, Difference]]:
        """Reference index → values that equal it: within tolerance, and not much further off than the best on
        either side.

        Coarse types need the second condition: in fp16 a residual sum and its normalized self can be within
        tolerance of each other.
        """
        pairs = [
            (reference, value, found)
            for value, hits in self.hits.items()
            for reference, found in ((self.references.items[index], found) for index, found in hits.items())
            if matches(reference, found)
        ]
        best_value: dict[ir.Value, float] = {}
        best_reference: dict[int, float] = {}
        for reference, value, found in pairs:
            best_value[value] = min(found.max_rel, best_value.get(value, math.inf))
            best_reference[reference.index] = min(found.max_rel, best_reference.get(reference.index, math.inf))
        equal: dict[int, dict[ir.Value, Difference]] = {}
        for reference, value, found in pairs:
            noise = NOISE * reference.tolerance.localise
            if found.max_rel <= max(noise, CLOSEST * min(best_value[value], best_reference[reference.index])):
                equal.setdefault(reference.index, {})[value] = found
        return equal


def _compare(reference: Reference, tensor: torch.Tensor) -> Difference:
    return compare_flat("", reference.tensor, tensor, reference.tolerance, reference.size)


def mergeable(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one shape comes from the other by joining neighbouring axes, as in [2, 16, 64] and [32, 64]."""
    joints = [set(accumulate((size for size in shape if size != 1), operator.mul)) for shape in (one, other)]
    return joints[0] <= joints[1] or joints[1] <= joints[0]


def expected_places(
    flow: Flow, placement: Placement, references: References, anchors: Mapping[ir.Value, int]
) -> dict[ir.Value, set[int]]:
    """Value → references at the borders that it crosses by the tags, or that it surely is (``anchors``: graph outputs).

    A node made of several modules' nodes gives what the last of them returns and takes what the first of them takes.
    """
    places: dict[ir.Value, set[int]] = {value: {index} for value, index in anchors.items()}
    for edge in flow.edges:
        crossings = list(placement.crossings(edge, later=False))
        calls = placement.calls.all
        leaving = max(
            (left for left, _ in crossings if left),
            key=lambda left: calls[left[-1]].completed or 0,
            default=(),
        )
        entering = min((entered for _, entered in crossings if entered), key=lambda entered: entered[-1], default=())
        found = {c.index for order in leaving for c in references.borders[order].outputs.references if not c.constant}
        found |= {c.index for order in entering for c in references.borders[order].inputs.references if not c.constant}
        if found:
            places.setdefault(edge.value, set()).update(found)
    return places


def watched_values(
    program: ir.Model, flow: Flow, references: References, feeds: Mapping[str, torch.Tensor]
) -> dict[str, int]:
    """Names of the values worth fetching → estimated bytes: all that a module may have returned.

    Dynamic dimensions are worked out from the inputs; a value whose size stays unknown is counted as large as
    the largest recorded tensor.
    """
    sizes = axis_sizes(program, feeds)
    largest = max((count for _, count in references.groups), default=1)
    watched: dict[str, int] = {}
    for node in flow.nodes:
        for value in node.outputs:
            if not value.name or isinstance(value.type, ir.SequenceType):
                continue
            # Of what depends on shapes and constants alone, modules return numbers (position embeddings), no indices.
            if value in flow.shape_only and not _may_be_returned(value, node):
                continue
            count = _elements(value, sizes)
            itemsize = value.dtype.itemsize if value.dtype is not None else 4
            watched[value.name] = math.ceil((largest if count is None else count) * itemsize)
    return watched


def _may_be_returned(value: ir.Value, node: ir.Node) -> bool:
    """Of a value without data behind it: a number, and no weight that is only stored in another type."""
    return node.op_type != "DequantizeLinear" and value.dtype is not None and value.dtype.is_floating_point()


def _elements(value: ir.Value, sizes: Mapping[str, int]) -> int | None:
    dims = [size_of(dim, sizes) for dim in value.shape] if value.shape is not None else [None]
    return math.prod(dim for dim in dims if dim is not None) if None not in dims else None
