"""What both checks of attestation know besides the tags."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.differences import compare_flat
from pytest_htp.parity.divergence import Located
from pytest_htp.parity.flow import Flow
from pytest_htp.parity.observe import Observation
from pytest_htp.parity.references import References, Side, matches


@dataclass
class Evidences:
    """What attestation knows besides the tags: it stays the same when only tags change."""

    hierarchy: Hierarchy
    references: References
    flow: Flow
    matching: dict[int, list[ir.Value]]  # reference → values that equal it, in graph order
    equal: dict[ir.Value, set[int]]  # the same, by value
    possible: dict[ir.Value, set[int]]  # references that a value is within tolerance of
    in_any_order: dict[ir.Value, set[int]]  # references that a value at a moved border has the elements of
    shapes: dict[ir.Value, tuple[int, ...]]
    stored: set[int]  # references that an initializer or a constant of the graph equals
    constant: set[ir.Value]  # values whose elements are all equal
    diverged: set[ir.Value]  # numerically wrong values and all that is computed from them
    computed_by: dict[int, list[ModuleCall]]  # reference → calls that returned it without having taken it

    def is_on(self, value: ir.Value, side: Side) -> bool:
        """Whether a value equals a tensor on one side of a call's border.

        Its shape decides too where the graph has the tensor in the shape that PyTorch recorded: a value that
        only is to be reshaped into it has not crossed the border yet.
        """
        for index in self.equal.get(value, set()) & side.ids:
            shapes = side.shapes[index]
            if self.shapes[value] in shapes or not any(self.shapes[v] in shapes for v in self.matching[index]):
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

    @classmethod
    def gather(
        cls,
        hierarchy: Hierarchy,
        references: References,
        observation: Observation,
        flow: Flow,
        located: dict[int, Located],
    ) -> Evidences:
        """Bring together what is known of each call from both sides."""
        matching: dict[int, list[ir.Value]] = {}
        equal: dict[ir.Value, set[int]] = {}
        for index, found in observation.equal_values(references).items():
            matching[index] = sorted(found, key=flow.order)
            for value in found:
                equal.setdefault(value, set()).add(index)
        wrong = {item.value for index, item in located.items() if not matches(references.items[index], item.difference)}
        computed_by: dict[int, list[ModuleCall]] = {}
        for call in hierarchy.calls:
            border = references.borders[call.order]
            for index in border.outputs.ids - border.inputs.ids:
                computed_by.setdefault(index, []).append(call)
        return cls(
            hierarchy,
            references,
            flow,
            matching,
            equal,
            observation.may_be(references),
            observation.in_any_order,
            observation.shapes,
            _stored(references, flow),
            observation.constant,
            wrong | flow.downstream(wrong),
            computed_by,
        )


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
