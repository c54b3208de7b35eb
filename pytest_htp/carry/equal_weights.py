"""Weights recognised by what they hold: copied, transposed, packed in another layout, quantized, joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

# Smaller ones (scales, axes, a bias of zeros) are alike by chance.
_FEWEST = 8
_SAMPLES = 256
# Channels, and elements of each, that are looked at where each channel may have a scale of its own.
_CHANNELS, _OF_EACH = 16, 64
# Correlation of a weight with its copy in coarser steps. Measured on int8 copies of random and trained weights: above
# 0.999; between different weights of 8 elements or more that vary: below 0.97 but for one pair in 10,000.
_SAME = 0.99

Array = npt.NDArray[Any]


def elements(value: ir.Value) -> Array | None:
    """The elements of a constant; None where there are none (a file without weights, a type numpy lacks)."""
    tensor = value.const_value
    if tensor is None:
        return None
    try:
        array = np.asarray(tensor.numpy())
        if array.dtype.kind not in "biuf":
            array = array.astype(np.float32)
    except (TypeError, ValueError, NotImplementedError, OSError):
        return None
    return array if array.size == tensor.size else None


def equal_weights(one: Array, other: Array) -> bool | None:
    """Whether two constants of equally many elements hold the same, up to precision, transposition, and scale and
    offset of the whole or of each channel; None where that can't be determined: too few elements, or all of them equal.
    """
    if one.size != other.size:
        return False
    if one.size < _FEWEST:
        return None
    if one.shape == other.shape and np.array_equal(one, other):
        return True
    views = list(_views(other, one.shape))
    verdicts = [_correlates(one, view) for view in views]
    if True in verdicts or any(_correlates_by_channel(one, view) for view in views):
        return True
    return None if None in verdicts else False


def _views(array: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    if array.shape == shape or array.ndim != 2:
        yield array
    if array.ndim == 2 and array.T.shape == shape:
        yield array.T


def _correlates(one: Array, other: Array) -> bool | None:
    a, b = _sample(one), _sample(other)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if not np.isfinite(scale) or scale == 0:
        return None
    return bool(abs(float(a @ b)) / scale >= _SAME)


def _correlates_by_channel(one: Array, other: Array) -> bool:
    """Whether one is the other with a scale and an offset for each channel, along any axis (quantized per channel)."""
    if one.shape != other.shape or one.ndim < 2:
        return False
    return any(_alike_along(one, other, axis) for axis in range(one.ndim))


def _alike_along(one: Array, other: Array, axis: int) -> bool:
    count, size = one.shape[axis], one.size // max(1, one.shape[axis])
    if size < _FEWEST or count < 2:
        return False
    channels = np.linspace(0, count - 1, min(count, _CHANNELS)).round().astype(np.int64)
    places = np.linspace(0, size - 1, min(size, _OF_EACH)).round().astype(np.int64)
    picked = (np.moveaxis(np.take(array, channels, axis), axis, 0) for array in (one, other))
    rows = (array.reshape(len(channels), -1)[:, places].astype(np.float64) for array in picked)
    a, b = (np.nan_to_num(array, posinf=0, neginf=0) for array in rows)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scales = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    vary = np.isfinite(scales) & (scales > 0)
    if vary.sum() < max(2, len(channels) // 2):
        return False
    return bool(np.mean(np.abs((a * b).sum(1)[vary]) / scales[vary]) >= _SAME)


def _sample(array: Array) -> npt.NDArray[np.float64]:
    """Up to 256 elements spread over the row-major order, by coordinates: flattening a transposed view would copy
    it.
    """
    index = np.linspace(0, array.size - 1, min(array.size, _SAMPLES)).round().astype(np.int64)
    return np.nan_to_num(array[np.unravel_index(index, array.shape)].astype(np.float64), posinf=0, neginf=0)


class WeightIndex:
    """Weights of the graph before that can be looked up by what they hold."""

    def __init__(self, values: Iterable[ir.Value]) -> None:
        self._by_size: dict[int, list[tuple[ir.Value, Array]]] = {}
        for value in values:
            array = elements(value)
            if array is not None and array.size >= _FEWEST:
                self._by_size.setdefault(array.size, []).append((value, array))

    def find(self, array: Array) -> tuple[ir.Value, ...]:
        """The weights that an array is a copy of: one, or those it joins along an axis; empty where unknown or not
        unique.
        """
        one = self._one(array)
        if one is not None:
            return (one,)
        for parts in _parts(array):
            if parts[0].size in self._by_size:
                found = [self._one(part) for part in parts]
                if all(found):
                    return tuple(value for value in found if value is not None)
        return ()

    def _one(self, array: Array) -> ir.Value | None:
        if array.size < _FEWEST:
            return None
        candidates = self._by_size.get(array.size, ())
        found = [value for value, held in candidates if equal_weights(array, held) or _repacked(array, held)]
        return found[0] if len(found) == 1 else None


def _repacked(one: Array, other: Array) -> bool:
    """Whether both hold the same elements in another order (a layout of blocks), compared by sums first."""
    if one.dtype != other.dtype or one.ndim < 3:
        return False
    a, b = one.astype(np.float64), other.astype(np.float64)
    if not np.allclose([a.sum(), (a * a).sum()], [b.sum(), (b * b).sum()], rtol=1e-9):
        return False
    return bool(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)) and a.min() != a.max())


def _parts(array: Array) -> Iterator[list[Array]]:
    """An array cut into two, three or four equal parts along each axis."""
    for axis in range(array.ndim):
        for count in (2, 3, 4):
            if array.shape[axis] % count == 0 and array.shape[axis] > count:
                yield np.split(array, count, axis)
