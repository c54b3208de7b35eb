"""One tensor against another: largest differences, share beyond tolerance, NaN and infinity kept apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from pytest_htp.parity.result import Difference
from pytest_htp.parity.tolerance import Tolerance, tolerance_for

# Elements compared at a time: bounds the temporaries of a comparison to some 50 MB whatever the tensor's size.
_CHUNK = 2**21
# Up to this many magnitudes, a difference can be taken as it is, without looking for NaN, infinity and masks.
_PLAIN = 1e6


class Magnitude(NamedTuple):
    """The largest absolute value of a tensor's elements, and the root of the sum of their squares."""

    largest: float
    norm: float


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in row-major order on the CPU; complex ones as (real, imaginary) pairs, as ONNX stores them."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.resolve_neg().cpu().reshape(-1)


def magnitude(tensor: torch.Tensor) -> Magnitude:
    """How large the finite elements are (see :func:`_usable`); 0 without any."""
    largest, norm = 0.0, 0.0
    for part in torch.split(flat(tensor), _CHUNK):
        part = _comparable(part)
        found = _largest(part)
        if not found <= _limit(tensor.dtype):
            part = part[_usable(part, tensor.dtype)]
            found = _largest(part)
        largest, norm = max(largest, found), math.hypot(norm, _norm(part))
    return Magnitude(largest, norm)


def extremes(tensor: torch.Tensor) -> tuple[float, float]:
    """The smallest and the largest finite element (see :func:`_usable`); 0 without any."""
    usable = (part[_usable(part, tensor.dtype)] for part in torch.split(flat(tensor), _CHUNK))
    found = [float(end) for part in usable if part.numel() for end in torch.aminmax(part)]
    return (min(found), max(found)) if found else (0.0, 0.0)


def is_constant(elements: torch.Tensor) -> bool:
    """Whether all elements of a flat tensor are equal; true without any."""
    if not elements.numel():
        return True
    few = elements[:: max(1, elements.numel() // 64)]
    return bool((few == elements[0]).all()) and bool((elements == elements[0]).all())


def difference(name: str, expected: torch.Tensor, got: torch.Tensor, tolerance: Tolerance | None = None) -> Difference:
    """Compare what ONNX Runtime gave with what PyTorch gave; a wrong shape is reported, not raised.

    Tolerances follow the element type of ``expected``.
    """
    tolerance = tolerance or tolerance_for(expected.dtype)
    if torch.is_complex(expected):
        expected = torch.view_as_real(expected.resolve_conj())
    if expected.shape != got.shape:
        return incomparable(name, f"{list(got.shape)} instead of {list(expected.shape)}")
    return compare_flat(name, expected, got, tolerance)


def incomparable(name: str, why: str) -> Difference:
    """Two sides that can't be compared at all."""
    return Difference(name, math.inf, math.inf, beyond=1.0, shape_mismatch=why)


def compare_flat(
    name: str, expected: torch.Tensor, got: torch.Tensor, tolerance: Tolerance, known: Magnitude | None = None
) -> Difference:
    """Compare two tensors of equally many elements in row-major order, whatever their shapes.

    ``known`` is ``magnitude(expected)`` where the caller has it.
    """
    scale, size = known or magnitude(expected)
    atol = tolerance.atol * max(1.0, scale) if tolerance.scaled else tolerance.atol
    largest, norm, beyond, nonfinite = 0.0, 0.0, 0, 0
    left, right = flat(expected), flat(got)
    exact = not (left.dtype.is_floating_point or right.dtype.is_floating_point)
    for a, b in zip(torch.split(left, _CHUNK), torch.split(right, _CHUNK), strict=True):
        unequal = int((a != b).sum()) if exact else 0  # before fp64 rounds integers beyond 2**53
        a, b = _comparable(a), _comparable(b)
        apart = a - b
        found = _largest(apart)
        if not found <= _PLAIN * max(1.0, scale):  # NaN, infinity or the values that masks write
            usable = _usable(a, expected.dtype) & _usable(b, got.dtype)
            same = (a == b) | (a.isnan() & b.isnan()) | _saturated_alike(a, b, expected.dtype, got.dtype)
            nonfinite += int((~usable & ~same).sum())
            a, apart = a[usable], (a - b)[usable]
            found = _largest(apart)
        largest, norm = max(largest, found), math.hypot(norm, _norm(apart))
        if exact:
            beyond += unequal
        elif found > atol:
            beyond += int((apart.abs() > tolerance.rtol * a.abs() + atol).sum())
    count = max(left.numel(), 1)
    relative = 0.0 if largest == 0 else (largest / scale if scale > 0 else math.inf)
    return Difference(
        name,
        largest,
        relative,
        beyond=(beyond + nonfinite) / count,
        nonfinite=nonfinite,
        floor=tolerance.floor,
        spread=norm / size if size > 0 else 0.0,
    )


def _largest(part: torch.Tensor) -> float:
    """The largest absolute value, NaN where there is a NaN; 0 without elements."""
    if not part.numel():
        return 0.0
    low, high = part.aminmax()
    return max(-float(low), float(high), key=lambda value: (math.isnan(value), value))


def _norm(part: torch.Tensor) -> float:
    """The root of the sum of squares; 0 where that is beyond the element type, whose largest element tells enough."""
    found = float(torch.linalg.vector_norm(part))
    return found if math.isfinite(found) else 0.0


def _comparable(part: torch.Tensor) -> torch.Tensor:
    """In a type whose differences are exact enough: fp32 for 16- and 32-bit floats, fp64 for everything else."""
    if part.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return part.float()
    return part.double()


def _limit(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).max / 2 if dtype.is_floating_point else math.inf


def _usable(part: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Elements to measure: finite, and not the "minus infinity" that masks write as the type's lowest number.

    The largest mask value would otherwise be the scale against which nothing else counts.
    """
    return part.abs() <= _limit(dtype)  # False for NaN


def _saturated_alike(a: torch.Tensor, b: torch.Tensor, left: torch.dtype, right: torch.dtype) -> torch.Tensor:
    return (a.abs() > _limit(left)) & (b.abs() > _limit(right)) & (a.sign() == b.sign())
