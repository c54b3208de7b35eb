"""What both checks of attestation know besides the tags."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import torch

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.parity.differences import compare_flat
from pytest_htp.parity.divergence import Located
from pytest_htp.parity.flow import Flow
from pytest_htp.parity.observe import Observation
from pytest_htp.parity.references import References, Side, matches


class Evidences:
    """What attestation knows besides the tags: it stays the same when only tags change.

    Attributes:
        hierarchy: what PyTorch called.
        references, observation, flow: what it recorded, the graph's values held against that, and the graph.
        matching: reference → values that equal it, in graph order.
        equal: the same, by value.
        possible: value → references that it is within tolerance of.
        stored: references that an initializer or a constant of the graph equals.
        diverged: numerically wrong values and all that is computed from them.
    """

    def __init__(
        self, hierarchy: Hierarchy, observation: Observation, flow: Flow, located: Mapping[int, Located]
    ) -> None:
        self.hierarchy, self.observation, self.flow = hierarchy, observation, flow
        self.references = references = observation.references
        self.matching = {index: sorted(found, key=flow.order) for index, found in observation.equal_values().items()}
        self.equal: dict[ir.Value, set[int]] = {}
        for index, found in self.matching.items():
            for value in found:
                self.equal.setdefault(value, set()).add(index)
        self.possible = observation.may_be()
        self.stored = _stored(references, flow)
        wrong = {item.value for index, item in located.items() if not matches(references.items[index], item.difference)}
        self.diverged = wrong | flow.downstream(wrong)

    def proves(self, value: ir.Value) -> bool:
        """Whether a value says anything about tags: neither numerically wrong nor all equal."""
        return value not in self.diverged and value not in self.observation.constant

    def is_on(self, value: ir.Value, side: Side) -> bool:
        """Whether a value equals a tensor on one side of a call's border.

        Its shape decides too where the graph has the tensor in the shape that PyTorch recorded: a value that
        only is to be reshaped into it has not crossed the border yet.
        """
        for index in self.equal.get(value, set()) & side.ids:
            shapes = side.shapes[index]
            seen = self.observation.shapes
            if seen[value] in shapes or not any(seen[other] in shapes for other in self.matching[index]):
                return True
        return False

    def lacks(self, value: ir.Value, side: Side) -> bool:
        """Whether a value surely is none of the tensors on one side of a call's border.

        A side none of whose tensors occurs in the graph says nothing: the module was exported in another form
        than it ran. Neither does one with a tensor that was overwritten since.
        """
        if side.overwritten or self.is_on(value, side):
            return False
        if len(self.possible.get(value, ())) > 1 and self.possible[value] & side.ids:
            return False  # of several tensors that are nearly equal, it may be this one
        return not side.references or any(reference.index in self.matching for reference in side.references)


def _stored(references: References, flow: Flow) -> set[int]:
    """References among constants that nodes read: what a module returned for every input was computed in advance."""
    stored: set[int] = set()
    for value in dict.fromkeys(value for node in flow.nodes for value in node.inputs):
        tensor = value.const_value if value is not None else None
        if tensor is None or not references.has_size(math.prod(tensor.shape.numpy())):
            continue
        try:
            elements = torch.from_numpy(np.array(tensor.numpy()))
        except TypeError:  # a type that torch lacks (strings, 4-bit numbers, bfloat16 of ml_dtypes)
            continue
        for reference in references.candidates(elements):
            if matches(reference, compare_flat("", reference.tensor, elements, reference.tolerance, reference.size)):
                stored.add(reference.index)
    return stored
