"""Whether two measurements are of the same values."""

from __future__ import annotations

import math

from pytest_htp.format.record import QualityRow

PEAK_DIGITS = 6
# Between machines a peak differs by float32's rounding; 1e-5 is where parity says that a module is off. The coarser
# this is, the more often other weights pass for the same: of 28 pairs of two logits one had peaks within a thousandth.
_SAME = 1e-4


def same_signal(one: QualityRow, other: QualityRow) -> bool:
    """Whether PyTorch gave the same, as far as the peaks of outputs tell: the same weights on the same inputs."""
    peaks = {row.name: row.peak for row in one.outputs}
    pairs = [(peaks.get(row.name), row.peak) for row in other.outputs]
    return all(was is None or now is None or math.isclose(was, now, rel_tol=_SAME) for was, now in pairs)
