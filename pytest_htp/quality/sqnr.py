"""The signal-to-quantization-noise ratio: ``10·log10(Σx²/Σ(x−y)²)`` dB, x PyTorch's tensor.

6 dB are a factor of two in amplitude: one bit. Identical tensors, whose ratio is infinite, count as :data:`EXACT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pytest_htp.format.record import SQNR_STEP
from pytest_htp.parity.differences import flat

# What identical tensors count as, and the largest number there is: float32 itself ends at 24 bits, 144.5 dB.
EXACT = 150.0
# Stored numbers end here. Above it, differences are float32's rounding (1e-5 of a tensor's magnitude, the threshold
# of parity.tolerance, is 100 dB), which moves with threads and instruction sets.
STORED_END = 99
_CHUNK = 2**21
# So many are summed in float32 at a time: less than 1e-5 dB off.
_SUMMED = 2**16
# Squares below 1e-38 vanish in float32; of a sum beyond this they are no part that counts.
_TINY = 1e-25
# Masks write "minus infinity" as the lowest finite number; beyond this, an element is no signal.
_LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class Undefined:
    """Why there is no number."""

    reason: str


NOT_FINITE = Undefined("not finite")
ALL_ZERO = Undefined("all zero in PyTorch")
NOT_FINITE_BEFORE = Undefined("not finite in PyTorch")


class Signal:
    """A tensor of PyTorch's that values are held against. Complex numbers count as pairs."""

    def __init__(self, expected: torch.Tensor) -> None:
        self._elements = flat(expected)
        self._energy = sum(_energy(part.double()) for part in torch.split(self._elements, _CHUNK))

    def ratio(self, got: torch.Tensor) -> float | Undefined:
        """Of a value with as many elements, in row-major order: in dB, at most :data:`EXACT`."""
        signal, noise = self._energy, 0.0
        parts = [(self._elements, flat(got))]
        if self._elements.numel() > _CHUNK:
            parts = list(zip(*(torch.split(side, _CHUNK) for side in parts[0]), strict=True))
        if signal < _LARGEST**2:
            noise = sum(_noise(left, right) for left, right in parts)
        else:  # one element of a mask is that much
            signal = 0.0
            for left, right in parts:
                x = left.double()
                kept = ~((x.abs() >= _LARGEST) & (right.abs() >= _LARGEST) & (x.sign() == right.sign()))
                signal += _energy(x[kept])
                noise += _energy(x[kept] - right[kept])
        if not math.isfinite(signal) or signal == 0:
            return nothing(self._elements)
        if not math.isfinite(noise):
            return NOT_FINITE
        return EXACT if noise == 0 else min(EXACT, 10 * math.log10(signal / noise))


def nothing(expected: torch.Tensor) -> Undefined:
    """Why a tensor of PyTorch's without a finite element but zero is no signal."""
    return ALL_ZERO if bool(torch.isfinite(expected).all()) else NOT_FINITE_BEFORE


def _energy(x: torch.Tensor) -> float:
    return float(torch.dot(x, x))


def _noise(left: torch.Tensor, right: torch.Tensor) -> float:
    """Σ(x−y)². Of float32 the sums are float32's, wherever that neither overflows nor vanishes."""
    if left.dtype is right.dtype is torch.float32:
        found = sum(_energy(part) for part in torch.split(left - right, _SUMMED))
        if _TINY < found < math.inf:
            return found
    return _energy(left.double() - right)


def sqnr(expected: torch.Tensor, got: torch.Tensor) -> float | Undefined:
    """Of two tensors with equally many elements, in dB; see :class:`Undefined` for what has none."""
    return Signal(expected).ratio(got)


def values_of_sample(tensor: torch.Tensor) -> int:
    """Elements of one sample: those of a batch (the first of several axes) share the weights, and most of the error."""
    return tensor.numel() // (tensor.shape[0] if tensor.dim() > 1 else 1)


def stored(value: float) -> int:
    """As a baseline holds it: rounded down to a multiple of 3 dB, at most 99."""
    return min(STORED_END, math.floor(value / SQNR_STEP) * SQNR_STEP)


def rank(number: float | Undefined) -> float:
    """For comparing: what has no number comes last."""
    return -math.inf if isinstance(number, Undefined) else number
