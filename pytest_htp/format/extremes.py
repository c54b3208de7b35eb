"""Whether two measurements are of the same values."""

from __future__ import annotations

import math
from typing import Final

from pytest_htp.format.record import QualityRow

_DIGITS: Final = 4
# Between machines they differ by float32's rounding, so that one in a hundred is stored with another last digit. One
# number alone would let other weights pass for the same: of 28 pairs of two logits one had peaks within a thousandth.
_SAME: Final = 1e-3


def rounded(smallest: float, largest: float) -> list[float]:
    """Both to as many digits as the larger magnitude has four of."""
    peak = max(-smallest, largest)
    places = _DIGITS - 1 - math.floor(math.log10(peak)) if peak else 0
    return [round(smallest, places), round(largest, places)]


def same_signal(one: QualityRow, other: QualityRow) -> bool:
    """Whether PyTorch gave the same, as far as the extremes of outputs tell: the same weights on the same inputs."""
    known = {row.name: row.extremes for row in one.outputs}
    pairs = [(known.get(row.name), row.extremes) for row in other.outputs]
    return all(was is None or now is None or _alike(was, now) for was, now in pairs)


def _alike(one: list[float], other: list[float]) -> bool:
    most = _SAME * max(map(abs, one + other))
    return all(abs(was - now) <= most for was, now in zip(one, other, strict=True))
