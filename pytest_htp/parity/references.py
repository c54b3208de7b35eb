"""What PyTorch recorded at module borders, grouped by their elements, and quick tests of what a value can be.

The same tensor shows up at many borders (one module's output is the next one's input), so the unit of comparison is a
*reference*: all recorded tensors with the same elements in row-major order, whatever their shape. Two references that
could be the same value of the graph have equal kind (float, int, bool) and number of elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.kept import TensorRecord
from pytest_htp.capture.wrapped import is_wrapper
from pytest_htp.parity.differences import Magnitude, flat, is_constant, magnitude
from pytest_htp.parity.feeds import tensors_of
from pytest_htp.parity.precision import coarser, precision_at_borders
from pytest_htp.parity.result import Difference
from pytest_htp.parity.tolerance import Precision, Tolerance, tolerance_for

# A value that agrees on these many elements spread over a tensor is compared in full.
SAMPLES = 64
# Masks write "minus infinity" as the lowest finite number; sampled values are clamped so that both agree.
_CLAMP = 1e30
_LARGEST_HALF = torch.finfo(torch.float16).max

Group = tuple[str, int]


def kind_of(dtype: torch.dtype) -> str:
    """``float`` (complex numbers are stored as pairs of them), ``int`` or ``bool``."""
    if dtype is torch.bool:
        return "bool"
    return "float" if dtype.is_floating_point or dtype.is_complex else "int"


def group_of(tensor: torch.Tensor) -> Group:
    """Tensors of different groups are never the same value. Complex numbers are two elements each."""
    return kind_of(tensor.dtype), tensor.numel() * (2 if tensor.is_complex() else 1)


@dataclass(slots=True)
class Reference:
    """Elements that PyTorch recorded; ``size`` is their magnitude, ``constant`` says all are equal."""

    index: int
    tensor: torch.Tensor
    group: Group
    size: Magnitude
    constant: bool
    tolerance: Tolerance


@dataclass(slots=True)
class Side:
    """What a call took, or what it returned: references, with the shapes they had there by index.

    ``overwritten`` counts tensors that were changed in place since, so that what they held is not known.
    """

    references: list[Reference] = field(default_factory=list)
    shapes: dict[int, set[tuple[int, ...]]] = field(default_factory=dict)
    overwritten: int = 0

    @property
    def ids(self) -> set[int]:
        """``id`` of each tensor."""
        return set(self.shapes)


@dataclass(slots=True)
class Border:
    """Both sides of one call."""

    inputs: Side
    outputs: Side


class References:
    """All references of a watched forward pass, and each call's border.

    ``borders`` is indexed by :attr:`ModuleCall.order`; ``result`` are indices of what the root returned;
    ``computed_in`` is the coarsest floating-point type that any module returned.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        rtol: float | None = None,
        atol: float | None = None,
        precision: Precision | None = None,
    ) -> None:
        self._tolerances = (rtol, atol, precision)
        self.items: list[Reference] = []
        self._by_tensor: dict[int, Reference] = {}
        self._by_sample: dict[tuple[Group, bytes], list[Reference]] = {}
        before, after = precision_at_borders(hierarchy.calls)
        self.computed_in = after[0] if after else None
        self.borders = [
            Border(self._side(call.inputs, before[call.order]), self._side(call.outputs, after[call.order]))
            for call in hierarchy.calls
        ]
        returned = (tensor for tensor in tensors_of(hierarchy.result) if _is_dense(tensor))
        self.result = {self._reference_of(tensor, None).index for tensor in returned}
        self.groups: dict[Group, list[Reference]] = {}
        for reference in self.items:
            self.groups.setdefault(reference.group, []).append(reference)
        self._makers: dict[int, list[int]] = {}
        for order, border in enumerate(self.borders):
            for index in border.outputs.ids - border.inputs.ids:
                self._makers.setdefault(index, []).append(order)
        self._parents = [call.parent for call in hierarchy.calls]
        self._by_size: dict[Group, torch.Tensor] = {}
        self._sizes = {count for _, count in self.groups}
        self._samples = {
            group: torch.stack([sample(reference.tensor) for reference in members])
            for group, members in self.groups.items()
        }

    def innermost_makers(self, index: int) -> set[int]:
        """Those of its makers that no call inside of them gave it."""
        orders = set(self.makers(index))
        return orders - {self._parents[order] for order in orders}

    def makers(self, index: int) -> list[int]:
        """Orders of the calls that returned a reference without having taken it."""
        return self._makers.get(index, [])

    def given_to_makers(self, index: int) -> set[int]:
        """What its makers took."""
        return set().union(*(self.borders[order].inputs.ids for order in self.makers(index)))

    def has_size(self, count: int) -> bool:
        """Whether any reference has so many elements."""
        return count in self._sizes

    def index_of(self, tensor: torch.Tensor) -> int | None:
        """The reference of a tensor that the root returned; None for one without elements, or sparse."""
        found = self._by_tensor.get(id(tensor))
        return None if found is None else found.index

    def candidates(self, value: torch.Tensor) -> list[Reference]:
        """References that agree with ``value`` on a sample, to within one percent of their magnitude."""
        group = group_of(value)
        members = self.groups.get(group)
        if not members:
            return []
        return _within(members, self._samples[group], sample(value))

    def in_any_order(self, value: torch.Tensor) -> set[int]:
        """References whose elements, by size, agree with those of ``value`` on a sample."""
        group = group_of(value)
        members = self.groups.get(group, [])
        if not members:
            return set()
        if group not in self._by_size:
            self._by_size[group] = torch.stack([_sample_by_size(reference.tensor) for reference in members])
        return {reference.index for reference in _within(members, self._by_size[group], _sample_by_size(value))}

    def _side(self, records: Iterable[TensorRecord], computed_in: torch.dtype | None) -> Side:
        side = Side()
        for record in records:
            if record.overwritten:
                side.overwritten += 1
            elif _is_dense(record.tensor):
                reference = self._reference_of(record.tensor, computed_in)
                if reference.index not in side.shapes:
                    side.references.append(reference)
                side.shapes.setdefault(reference.index, set()).add(stored_shape(record.tensor))
        return side

    def _reference_of(self, tensor: torch.Tensor, computed_in: torch.dtype | None) -> Reference:
        known = self._by_tensor.get(id(tensor))
        if known is not None:
            return known
        held = _within_half(tensor) if self._tolerances[-1] == "float16" else tensor
        elements = flat(held)
        group = group_of(held)
        key = (group, bytes(sample(elements).view(torch.uint8).tolist()))
        for other in self._by_sample.get(key, ()):
            if other.tensor.dtype == tensor.dtype and torch.equal(flat(other.tensor), elements):
                self._by_tensor[id(tensor)] = other
                return other
        reference = Reference(
            index=len(self.items),
            tensor=held,
            group=group,
            size=magnitude(held),
            constant=is_constant(elements),
            tolerance=tolerance_for(coarser(tensor.dtype, computed_in), *self._tolerances),
        )
        self.items.append(reference)
        self._by_tensor[id(tensor)] = reference
        self._by_sample.setdefault(key, []).append(reference)
        return reference


def _within(members: list[Reference], samples: torch.Tensor, own: torch.Tensor) -> list[Reference]:
    error = (samples - own).abs().amax(dim=1)
    limits = torch.tensor([loose(reference) * reference.size.largest for reference in members], dtype=torch.float64)
    return [members[index] for index in torch.nonzero(error <= limits).flatten().tolist()]


def _sample_by_size(tensor: torch.Tensor) -> torch.Tensor:
    return sample(flat(tensor).sort().values)


def _within_half(tensor: torch.Tensor) -> torch.Tensor:
    """What a converter to half precision makes of finite numbers beyond its range (masks of -3.4e38)."""
    if tensor.dtype not in (torch.float32, torch.float64) or not bool((tensor.abs() > _LARGEST_HALF).any()):
        return tensor
    return torch.where(tensor.isfinite(), tensor.clamp(-_LARGEST_HALF, _LARGEST_HALF), tensor)


def stored_shape(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape a tensor has in ONNX: complex numbers are pairs along a last axis."""
    return (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.numel() > 0 and tensor.layout is torch.strided and not is_wrapper(tensor)


def matches(reference: Reference, difference: Difference) -> bool:
    """Whether a value with this difference may be taken for the reference."""
    return not difference.nonfinite and difference.max_rel <= reference.tolerance.match


def loose(reference: Reference) -> float:
    """Relative difference up to which a value still looks like this reference, that has diverged numerically.

    From ``match`` on, verdicts are the same; quality, which is shown the same values, also wants those a percent off.
    """
    return max(1e-2, 2 * reference.tolerance.match) if reference.group[0] == "float" else 0.0


def sample(tensor: torch.Tensor) -> torch.Tensor:
    """Up to :data:`SAMPLES` elements spread evenly over the row-major order, as fp64 without NaN and infinity."""
    elements = flat(tensor)
    count = min(elements.numel(), SAMPLES)
    index = torch.linspace(0, elements.numel() - 1, count, dtype=torch.float64).round().long()
    return torch.nan_to_num(elements[index].double(), nan=0.0).clamp(-_CLAMP, _CLAMP)
