"""Weights recognised by what they hold: copied, transposed, packed in another layout, quantized, joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from pytest_htp.capture.valid import has_data

# Smaller ones (scales, axes, a bias of zeros) are alike by chance.
_FEWEST = 8
# Bounds what a look costs; so many elements of unrelated weights correlate by 0.06 or so (1 / 16), never by _SAME.
_SAMPLES = 256
# Channels, and elements of each, that are looked at where each channel may have a scale of its own.
_CHANNELS, _OF_EACH = 16, 64
# Correlation of a weight with its copy in coarser steps. Measured on int8 copies of random and trained weights: above
# 0.999; between different weights of 8 elements or more that vary: below 0.97 but for one pair in 10,000.
_SAME = 0.99

Array = npt.NDArray[Any]
Vectors = npt.NDArray[np.float64]


def elements(value: ir.Value) -> Array | None:
    """The elements of a constant; None where there are none (a file without weights, a type numpy lacks)."""
    tensor = value.const_value
    # Where a file has no data for a tensor, onnx-ir would make zeros of its full size.
    if tensor is None or (isinstance(tensor, ir.TensorProtoTensor) and not has_data(tensor.raw)):
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
    views = list(_views(other, one.shape))
    for axis in _axes(one.shape):
        vectors = _vectors(one, axis)
        if any(_alike(vectors, _vectors(view, axis)) for view in views if axis is None or view.shape == one.shape):
            return True
    if _identical(one, other):
        return True
    return None if not _vectors(one).any() or not all(_vectors(view).any() for view in views) else False


def _views(array: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    if array.shape == shape or array.ndim != 2:
        yield array
    if array.ndim == 2 and array.T.shape == shape:
        yield array.T


def _axes(shape: tuple[int, ...]) -> Iterator[int | None]:
    """None, for an array as a whole, and the axes along which its channels may have scales of their own."""
    yield None
    size = int(np.prod(shape))
    if len(shape) > 1:
        yield from (axis for axis, count in enumerate(shape) if count > 1 and size // count >= _FEWEST)


def _vectors(array: Array, axis: int | None = None) -> Vectors:
    """Elements spread over an array as a vector of length 1 around 0, or as one of each of its channels; zeros where
    all are equal. Read by coordinates: flattening a view, or taking of it, would copy all of it.
    """
    turned = array[np.newaxis] if axis is None else np.moveaxis(array, axis, 0)
    channels = _spread(len(turned), _CHANNELS)[:, np.newaxis]
    places = _spread(turned[0].size, _SAMPLES if axis is None else _OF_EACH)
    picked = turned[(channels, *np.unravel_index(places, turned.shape[1:]))].astype(np.float64)
    picked = np.nan_to_num(picked, posinf=0, neginf=0)
    varied = picked.max(1) > picked.min(1)
    picked -= picked.mean(1, keepdims=True)
    length = np.sqrt((picked * picked).sum(1))
    usable = (varied & np.isfinite(length) & (length > 0))[:, np.newaxis]
    found: Vectors = np.divide(picked, length[:, np.newaxis], out=np.zeros_like(picked), where=usable)
    return found


@cache
def _spread(size: int, most: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, size - 1, min(size, most)).round().astype(np.int64)


def _alike(one: Vectors, others: Vectors) -> npt.NDArray[np.bool_]:
    """Whether vectors correlate with each of others (…, channels, elements), of whose channels half must vary."""
    vary = one.any(-1) & others.any(-1)
    enough = vary.sum(-1) >= max(min(2, len(one)), len(one) // 2)
    products = np.abs(np.einsum("ce,...ce->...c", one, others))
    same: npt.NDArray[np.bool_] = enough & (products.sum(-1) >= _SAME * np.maximum(vary.sum(-1), 1))
    return same


def _identical(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.flat[0] == other.flat[0] and np.array_equal(one, other)


class WeightIndex:
    """Weights of the graph before that can be looked up by what they hold."""

    def __init__(self, values: Iterable[ir.Value]) -> None:
        self._by_size: dict[int, list[tuple[ir.Value, Array]]] = {}
        self._stacks: dict[tuple[tuple[int, ...], int | None], tuple[list[ir.Value], Vectors]] = {}
        self._sums: dict[ir.Value, Vectors] = {}
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
        if array.size not in self._by_size:
            return None
        found: list[ir.Value] = []
        for axis in _axes(array.shape):
            values, vectors = self._stack(array.shape, axis)
            if values and not found:
                found = [values[place] for place in np.flatnonzero(_alike(_vectors(array, axis), vectors))]
        if not found:
            found = [value for value, held in self._by_size[array.size] if _identical(array, held)]
        if not found and array.ndim > 2:
            found = list(self._repacked(array))
        return found[0] if len(set(found)) == 1 else None

    def _stack(self, shape: tuple[int, ...], axis: int | None) -> tuple[list[ir.Value], Vectors]:
        """Vectors of all weights that can be looked at as an array of this shape."""
        if (shape, axis) not in self._stacks:
            views = [
                (value, view)
                for value, held in self._by_size[int(np.prod(shape))]
                for view in _views(held, shape)
                if axis is None or view.shape == shape
            ]
            vectors = np.array([_vectors(view, axis) for _, view in views])
            self._stacks[shape, axis] = [value for value, _ in views], vectors
        return self._stacks[shape, axis]

    def _repacked(self, array: Array) -> Iterator[ir.Value]:
        """Weights that hold the same elements in another order (a layout of blocks), compared by sums first."""
        sums = _sums(array)
        for value, held in self._by_size[array.size]:
            if value not in self._sums:
                self._sums[value] = _sums(held)
            alike = held.dtype == array.dtype and np.allclose(sums, self._sums[value], rtol=1e-9)
            if alike and array.min() < array.max() and np.array_equal(np.sort(array, None), np.sort(held, None)):
                yield value


def _sums(array: Array) -> Vectors:
    numbers = array.astype(np.float64)
    return np.array([numbers.sum(), (numbers * numbers).sum()])


def _parts(array: Array) -> Iterator[list[Array]]:
    """An array cut into two (gate, up), three (query, key, value) or four (an LSTM) equal parts along each axis."""
    for axis in range(array.ndim):
        for count in (2, 3, 4):
            if array.shape[axis] % count == 0 and array.shape[axis] > count:
                yield np.split(array, count, axis)
