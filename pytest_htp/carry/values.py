"""Which values of two graphs are equal, determined from one run of each on the same input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

# Elements of a value that are compared, spread over its row-major order.
_SAMPLES = 64
# The best candidate counts where every other one is this many times farther off, as in parity (CLOSEST).
_CLEARLY = 4.0

Array = npt.NDArray[Any]


class Samples:
    """Values of one run by name: a few elements of each, and its scale. Constant ones and integers are left out: shapes
    and indices are equal by chance.
    """

    def __init__(self, values: Iterable[tuple[str, Array]]) -> None:
        self.by_size: dict[int, dict[str, tuple[npt.NDArray[np.float64], float]]] = {}
        for name, array in values:
            if array.dtype.kind != "f" or array.size < _SAMPLES:
                continue
            flat = array.reshape(-1)
            index = np.linspace(0, flat.size - 1, _SAMPLES).round().astype(np.int64)
            sample = np.nan_to_num(flat[index].astype(np.float64), posinf=0.0, neginf=0.0)
            scale = float(np.abs(sample).max())
            if scale > 0 and float(sample.max() - sample.min()) > 1e-3 * scale:
                self.by_size.setdefault(flat.size, {})[name] = (sample, scale)


def equal_values(before: Samples, after: Samples, *, tolerance: float = 1e-3) -> dict[str, str]:
    """Name of a value after → name of the one value before that it equals.

    Args:
        before: values of the one graph, on some input.
        after: values of the other, on the same.
        tolerance: largest difference of an element, relative to the value's scale: 1e-3 for fp32, where values of
            different nodes agreed on 64 elements in none of 12 families; coarser for half precision and int8.

    A value with several candidates that are about equally near (a tensor and its reshaped self) has none.
    """
    found: dict[str, str] = {}
    for size, values in after.by_size.items():
        candidates = before.by_size.get(size, {})
        if not candidates:
            continue
        names = list(candidates)
        samples = np.stack([sample for sample, _ in candidates.values()])
        for name, (sample, scale) in values.items():
            errors = np.abs(samples - sample).max(axis=1) / scale
            best = int(errors.argmin())
            others = np.delete(errors, best)
            if errors[best] <= tolerance and not (others <= max(errors[best] * _CLEARLY, tolerance / 10)).any():
                found[name] = names[best]
    return found
