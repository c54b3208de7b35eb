"""Which tensor of the PyTorch call goes into which graph input, and which came out as which graph output."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir
import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.utils import _pytree as pytree

from pytest_htp.errors import HTPUsageError

_HALVES = {ir.DataType.FLOAT16: torch.float16, ir.DataType.BFLOAT16: torch.bfloat16}


def graph_inputs(program: ir.Model) -> list[ir.Value]:
    """Inputs that must be fed: initializers that are also listed as inputs have their value."""
    return [value for value in program.graph.inputs if value.name not in program.graph.initializers]


def match_inputs(program: ir.Model, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Graph input name → tensor.

    In this order: equal names; names equal but for punctuation (``past.layers[0].keys`` and ``past_0_key``); what is
    left, in call order, by element type, rank and fixed dimensions. Tensors that the graph does not need are left over.

    Raises:
        HTPUsageError: an input gets no tensor (names it, its type and shape, and what there is).
    """
    wanted = graph_inputs(program)
    left = dict(tensors)
    feeds: dict[str, torch.Tensor] = {}
    for key in (str, _plain_name):
        by_key = {key(name): name for name in reversed(left)}
        for value in wanted:
            name = by_key.get(key(value.name or ""))
            if value.name not in feeds and name in left and _fits(value, left[name]):
                feeds[value.name or ""] = _as_asked(value, left.pop(name))
    for value in wanted:
        if value.name in feeds:
            continue
        found = next((name for name, tensor in left.items() if _fits(value, tensor)), None)
        if found is None:
            described = ", ".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in tensors.items())
            raise HTPUsageError(
                f"graph input {value.name!r} ({value.dtype}, {value.shape}) fits none of the tensors given "
                f"({described or 'none'}); give one of its element type and shape, or export with inputs of the "
                "shapes it is meant for"
            )
        feeds[value.name or ""] = _as_asked(value, left.pop(found))
    return feeds


def tensors_of(result: object) -> list[torch.Tensor]:
    """The tensors in what a model returned, in the order of ``torch.export``."""
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def match_outputs(program: ir.Model, result: object) -> list[tuple[str, torch.Tensor | None]]:
    """``(graph output name, what PyTorch returned there)``, in graph order; None where nothing corresponds.

    ``torch.export`` flattens a result as a pytree, and the exporter keeps that order, so position decides;
    names never do: outputs whose names were mixed up must differ. Leaves that are no tensors (None, numbers)
    are no graph outputs.
    """
    leaves = tensors_of(result)
    names = [value.name or "" for value in program.graph.outputs]
    expected: list[torch.Tensor | None] = [*leaves, *([None] * max(0, len(names) - len(leaves)))]
    return list(zip(names, expected[: len(names)], strict=True))


def _plain_name(name: str) -> str:
    """Words and numbers of a name in singular, without the containers a cache puts between them.

    transformers' exporter writes ``input.`` before what a call takes and gives back (a cache that grows).
    """
    words = re.findall(r"[A-Za-z]+|\d+", name.removeprefix("input."))
    return "_".join(word.lower().removesuffix("s") for word in words if word != "layers")


def _halved(value: ir.Value, tensor: torch.Tensor) -> bool:
    """Whether a graph that was converted takes a tensor in half precision."""
    return value.dtype in _HALVES and tensor.dtype is torch.float32


def _as_asked(value: ir.Value, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(_HALVES[value.dtype]) if _halved(value, tensor) and value.dtype is not None else tensor


def _fits(value: ir.Value, tensor: torch.Tensor) -> bool:
    if value.dtype is not None and value.dtype != from_torch_dtype(tensor.dtype) and not _halved(value, tensor):
        return False
    if value.shape is None:
        return True
    if len(value.shape) != tensor.dim():
        return False
    return all(not isinstance(dim, int) or dim == size for dim, size in zip(value.shape, tensor.shape, strict=True))
