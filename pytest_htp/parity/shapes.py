"""Do outputs have the shapes that the graph declares for them? Whoever allocates memory by the graph relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir
import torch


def axis_sizes(program: ir.Model, feeds: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Symbol of an input's axis → its size in this run."""
    sizes: dict[str, int] = {}
    for value in program.graph.inputs:
        tensor = feeds.get(value.name or "")
        if tensor is None or value.shape is None:
            continue
        for dim, size in zip(value.shape, tensor.shape, strict=False):
            if isinstance(dim, ir.SymbolicDim) and dim.value:
                sizes[dim.value] = size
    return sizes


def fits_declared(value: ir.Value, shape: Sequence[int], sizes: Mapping[str, int]) -> bool:
    """Whether a tensor of ``shape`` is what the graph declares, with its symbols at these sizes.

    A symbol that no input has may be any size (as many boxes as were found).
    """
    if value.shape is None:
        return True
    if len(value.shape) != len(shape):
        return False
    declared = (size_of(dim, sizes) for dim in value.shape)
    return all(want is None or want == got for want, got in zip(declared, shape, strict=True))


def size_of(dim: int | ir.SymbolicDim, sizes: Mapping[str, int]) -> int | None:
    """A dimension with its symbols at these sizes; None where they don't tell."""
    if isinstance(dim, int):
        return dim
    if dim.value is None:
        return None
    if dim.value.isdecimal():  # transformers' exporter writes constants as symbols
        return int(dim.value)
    try:
        found = dim.evaluate(sizes)
    except ValueError:  # no expression that onnx-ir reads
        return sizes.get(dim.value)
    return found if isinstance(found, int) else None
