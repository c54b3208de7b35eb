"""The signal-to-quantization-noise ratio: ``10·log10(Σx²/Σ(x−y)²)`` dB, x PyTorch's tensor in float64.

6 dB are a factor of two in amplitude: one bit. Identical tensors, whose ratio is infinite, count as :data:`EXACT`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pytest_htp.parity.differences import flat

# What identical tensors count as, and the largest number there is: float32 itself ends at 24 bits, 144.5 dB.
EXACT = 150.0
# Stored numbers end here. Above it, differences are float32's rounding (1e-5 of a tensor's magnitude, the threshold
# of parity.tolerance, is 100 dB), which moves with threads and instruction sets.
STORED_END = 99
STORED_STEP = 3
_CHUNK = 2**21
# Masks write "minus infinity" as the lowest finite number; beyond this, an element is no signal.
_LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class Undefined:
    """Why there is no number."""

    reason: str


NOT_FINITE = Undefined("not finite")
ALL_ZERO = Undefined("all zero in PyTorch")


@dataclass(slots=True)
class Energy:
    """Sums over one or several tensors: Σx², Σ(x−y)²."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: torch.Tensor, got: torch.Tensor, signal: float | None = None) -> None:
        """Two tensors of equally many elements, in row-major order; ``signal`` is Σx² where it is known."""
        left, right = flat(expected), flat(got)
        if left.numel() <= _CHUNK:
            self._add(left, right, signal)
            return
        for one, other in zip(torch.split(left, _CHUNK), torch.split(right, _CHUNK), strict=True):
            self._add(one, other, None)

    def _add(self, left: torch.Tensor, right: torch.Tensor, signal: float | None) -> None:
        x = left.double()
        error = x - right
        known = float(torch.dot(x, x)) if signal is None else signal
        if not known < _LARGEST**2:  # one element of a mask is that much
            kept = ~((x.abs() >= _LARGEST) & (right.abs() >= _LARGEST) & (x.sign() == right.sign()))
            x, error = x[kept], error[kept]
            known = float(torch.dot(x, x))
        self.signal += known
        self.noise += float(torch.dot(error, error))

    def ratio(self) -> float | Undefined:
        """In dB, at most :data:`EXACT`."""
        if not math.isfinite(self.signal) or not math.isfinite(self.noise):
            return NOT_FINITE
        if self.signal == 0:
            return ALL_ZERO
        return EXACT if self.noise == 0 else min(EXACT, 10 * math.log10(self.signal / self.noise))


def sqnr(expected: torch.Tensor, got: torch.Tensor, signal: float | None = None) -> float | Undefined:
    """Of two tensors with equally many elements, in dB; see :class:`Undefined` for what has none.

    Args:
        expected: the signal.
        got: signal and noise.
        signal: :func:`energy_of` the expected one, where that is known.
    """
    energy = Energy()
    if expected.numel():
        energy.add(expected, got, signal)
    return energy.ratio()


def energy_of(tensor: torch.Tensor) -> float | None:
    """Σx² in float64, for :func:`sqnr`; None for one that is summed in parts."""
    if tensor.numel() > _CHUNK:
        return None
    x = flat(tensor).double()
    return float(torch.dot(x, x))


def stored(value: float) -> int:
    """As a baseline holds it: rounded down to a multiple of 3 dB, at most 99."""
    return min(STORED_END, math.floor(value / STORED_STEP) * STORED_STEP)


def rank(number: float | Undefined) -> float:
    """For comparing: what has no number comes last."""
    return -math.inf if isinstance(number, Undefined) else number
