"""Dynamic shapes for ``torch.export``, of every axis or of named ones; the user's names in the graph."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from pytest_htp.errors import HTPUsageError

AxisNames = Mapping[str, Mapping[int, str]]


def bound_arguments(model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
    """Arguments by parameter name of ``forward``, in call order; ``*args`` and ``**kwargs`` stay nested."""
    bound = inspect.signature(model.forward).bind(*args, **kwargs)
    return dict(bound.arguments)


def auto_shapes(
    model: nn.Module,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    names: AxisNames | None,
    *,
    every_axis: bool,
) -> dict[str, object]:
    """``dynamic_shapes`` by parameter name: named axes by their name, the others ``Dim.AUTO`` or static.

    ``Dim.AUTO`` lets torch.export find out which axes can vary; axes named by the user must be able to.
    """

    def shapes_for(name: str, value: object) -> object:
        def shape_of(path: pytree.KeyPath, leaf: object) -> object:
            if not isinstance(leaf, torch.Tensor):
                return None
            named = (names or {}).get(f"{name}{pytree.keystr(path)}", {})
            shape = {axis: named[axis] for axis in range(leaf.dim()) if axis in named}
            if every_axis:
                shape = {axis: named.get(axis, Dim.AUTO) for axis in range(leaf.dim())}
            return shape or None

        return pytree.tree_map_with_path(shape_of, value)

    return {name: shapes_for(name, value) for name, value in bound_arguments(model, args, kwargs).items()}


def check_axes(shapes: object, model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Refuse axes that an input doesn't have; of these torch raises an ``IndexError`` or leaves them out in silence.

    Args:
        shapes: ``dynamic_shapes`` as the user gave them.
        model: what is exported.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Raises:
        HTPUsageError: an axis that is no whole number from 0 to the number of axes of its tensor.
    """

    def check(shape: object, value: object, where: str) -> None:
        if isinstance(value, torch.Tensor) and isinstance(shape, Mapping):
            odd = [axis for axis in shape if axis not in range(value.dim())]
            if odd:
                axes = ", ".join(map(str, range(value.dim()))) or "none"
                raise HTPUsageError(f"{where} names axis {odd[0]!r}; the axes of that input are {axes}")
        elif isinstance(shape, Mapping) and isinstance(value, Mapping):
            for key in filter(value.__contains__, shape):
                check(shape[key], value[key], f"{where}[{key!r}]")
        elif isinstance(shape, (list, tuple)) and isinstance(value, (list, tuple)):
            for position, (inner, leaf) in enumerate(zip(shape, value, strict=False)):
                check(inner, leaf, f"{where}[{position}]")

    given = bound_arguments(model, args, kwargs)
    check(shapes, list(given.values()) if isinstance(shapes, (list, tuple)) else given, "dynamic_shapes")


def batch_of_two(inputs: Mapping[str, object]) -> Mapping[str, object]:
    """The same inputs twice over where all of them have a first axis of one: ``torch.export`` fixes axes of size 1.

    Inputs that hold anything but tensors and plain values are left as they are.
    """
    leaves = pytree.tree_leaves(inputs)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    plain = all(leaf is None or isinstance(leaf, torch.Tensor | bool | int | float | str) for leaf in leaves)
    if not tensors or not plain or any(tensor.dim() == 0 or tensor.shape[0] != 1 for tensor in tensors):
        return inputs
    twice: Mapping[str, object] = pytree.tree_map_only(torch.Tensor, lambda tensor: torch.cat([tensor] * 2), inputs)
    return twice


def without_names(shapes: object) -> object:
    """The same shapes with every axis name as ``Dim.DYNAMIC``, for exporters that take no strings."""
    return pytree.tree_map_only(str, lambda name: Dim.DYNAMIC, shapes)


def names_in(shapes: object) -> dict[str, dict[int, str]]:
    """Axis names in shapes given by input name: ``{input: {axis: name}}``; other nestings name nothing."""
    found: dict[str, dict[int, str]] = {}
    if isinstance(shapes, Mapping):
        for name, shape in shapes.items():
            items: Iterable[tuple[object, object]] = ()
            if isinstance(shape, Mapping):
                items = shape.items()
            elif isinstance(shape, (list, tuple)):
                items = enumerate(shape)
            axes = {axis: dim for axis, dim in items if isinstance(axis, int) and isinstance(dim, str)}
            if axes:
                found[str(name)] = axes
    return found


def rename_axes(model: ir.Model, names: AxisNames) -> None:
    """Give the symbols of named input axes the user's names, everywhere in the graph they occur.

    Symbols inside expressions (``2*s72``) are renamed as well.
    """
    renamed: dict[str, str] = {}
    for value in model.graph.inputs:
        for axis, name in names.get(value.name or "", {}).items():
            if value.shape is not None and axis < len(value.shape):
                dim = value.shape[axis]
                if isinstance(dim, ir.SymbolicDim) and dim.value:
                    renamed.setdefault(dim.value, name)
    if not renamed:
        return
    pattern = re.compile(r"\b(" + "|".join(re.escape(symbol) for symbol in renamed) + r")\b")

    def new_name(symbol: str) -> str:
        return pattern.sub(lambda match: renamed[match.group(1)], symbol)

    for value in _values(model):
        _rename_in(value, new_name)


def _rename_in(value: ir.Value, new_name: Callable[[str], str]) -> None:
    if value.shape is None:
        return
    dims = [
        ir.SymbolicDim(new_name(dim.value)) if isinstance(dim, ir.SymbolicDim) and dim.value else dim
        for dim in value.shape
    ]
    if dims != list(value.shape):
        value.shape = ir.Shape(dims)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        for node in graph:
            yield from node.outputs
