"""Further input sets: an export that is right only for its example inputs must not pass.

Rules:

1. Sets that the user gives are compared as they are; PyTorch must be able to run them.
2. *other sizes*, where the graph has dynamic axes: they get another size, 3/4 of four and more, else one more. Where
   PyTorch refuses that (a position table, an image cut into patches), as many of them as it accepts, tried one after
   the other; axes at the same place with the same size change together (ids and their mask). Sizes that occur in
   derived dimensions (a mask as long as cache and text together) stay.
3. *padding*, where an attention mask of ones is given: its last row ends in padding.
4. The sets of rules 2 and 3 are made from the example's own values, so that ids stay ids, and are dropped where
   PyTorch itself raises on them, or answers the example differently when asked again (state, random numbers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import onnx_ir as ir
import torch
from torch import nn
from torch.utils import _pytree as pytree

from pytest_htp.capture.inputs.prepare import PreparedInputs, make_inputs
from pytest_htp.capture.state import eager, put_back
from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.feeds import match_inputs, tensors_of
from pytest_htp.parity.result import InputSet

OTHER_SIZES = "other sizes"
PADDING = "padding"

MOST_GROUPS = 12
"""Groups of axes tried one after the other: as many forward passes of a small batch."""

Change = Callable[[torch.Tensor], torch.Tensor]
Place = tuple[int, int]


def given_sets(model: nn.Module, sets: Sequence[object], *, seed: int = 0) -> list[InputSet]:
    """The user's own sets, run in PyTorch: ``given 1``, ``given 2``, ….

    Raises:
        HTPUsageError: a set doesn't fit ``forward``, or PyTorch raises on it; says which.
    """
    found = []
    for number, inputs in enumerate(sets, start=1):
        try:
            prepared = make_inputs(model, inputs, seed=seed)
            found.append(_run(model, f"given {number}", prepared))
        except HTPUsageError as error:
            raise HTPUsageError(f"parity_inputs, set {number}: {error}") from error
        except Exception as error:
            raise HTPUsageError(
                f"parity_inputs, set {number}: the model itself raises on it: {type(error).__name__}: {error}"
            ) from error
    return found


def derived_sets(model: nn.Module, example: PreparedInputs, result: object, program: ir.Model) -> list[InputSet]:
    """Sets by rules 2 and 3.

    Args:
        model: run on each set.
        example: the export's inputs.
        result: what PyTorch returned for the example.
        program: the graph, whose dynamic axes are varied.
    """
    axes, masks = _axes(example, program), _masks(example)
    if not (axes or masks) or not _answers_again(model, example, result):
        return []
    sets = [
        _resized(model, example, axes) if axes else None,
        _try(model, PADDING, example, dict.fromkeys(masks, _pad)) if masks else None,
    ]
    return [found for found in sets if found is not None]


def _axes(example: PreparedInputs, program: ir.Model) -> dict[Place, dict[int, list[int]]]:
    """What may change together: place and size of axes → identity of a tensor → its axes."""
    try:
        feeds = match_inputs(program, example.named)
    except HTPUsageError:
        return {}
    dims = [
        (feeds[value.name], axis, dim.value or "")
        for value in program.graph.inputs
        if value.name in feeds and value.shape is not None
        for axis, dim in enumerate(value.shape)
        if isinstance(dim, ir.SymbolicDim)
    ]
    derived = {word for _, _, dim in dims if not dim.isidentifier() for word in re.findall(r"[A-Za-z_]\w*", dim)}
    axes: dict[Place, dict[int, list[int]]] = {}
    for tensor, axis, dim in dims:
        if dim.isidentifier() and dim not in derived:
            axes.setdefault((axis, tensor.shape[axis]), {}).setdefault(id(tensor), []).append(axis)
    return axes


def _resized(model: nn.Module, example: PreparedInputs, axes: dict[Place, dict[int, list[int]]]) -> InputSet | None:
    best = _try(model, OTHER_SIZES, example, _resizers(axes.values()))
    if best is not None or len(axes) < 2:
        return best
    accepted: list[dict[int, list[int]]] = []
    for group in list(axes.values())[:MOST_GROUPS]:
        found = _try(model, OTHER_SIZES, example, _resizers([*accepted, group]))
        if found is not None:
            best = found
            accepted.append(group)
    return best


def _resizers(groups: Iterable[dict[int, list[int]]]) -> dict[int, Change]:
    wanted: dict[int, list[int]] = {}
    for group in groups:
        for tensor, axes in group.items():
            wanted.setdefault(tensor, []).extend(axes)
    return {tensor: partial(_resize, axes=axes) for tensor, axes in wanted.items()}


def _resize(tensor: torch.Tensor, axes: list[int]) -> torch.Tensor:
    for axis in axes:
        size = tensor.shape[axis]
        if size >= 4:
            tensor = tensor.narrow(axis, 0, size - size // 4)
        else:
            tensor = torch.cat([tensor, tensor.narrow(axis, size - 1, 1)], dim=axis) if size else tensor
    return tensor.contiguous()


def _masks(example: PreparedInputs) -> list[int]:
    """Identities of the attention masks that mask nothing."""
    return [
        id(tensor)
        for name, tensor in example.named.items()
        if name.endswith("attention_mask")
        and tensor.dim() == 2
        and not tensor.is_floating_point()
        and tensor.shape[1] >= 4
        and bool(tensor.all())
    ]


def _pad(mask: torch.Tensor) -> torch.Tensor:
    padded = mask.clone()
    padded[-1, -(mask.shape[1] // 4) :] = 0
    return padded


def _answers_again(model: nn.Module, example: PreparedInputs, result: object) -> bool:
    try:
        again = _run(model, "", example).result
    except Exception:
        return False
    before, now = tensors_of(result), tensors_of(again)
    return len(before) == len(now) and all(torch.equal(one, other) for one, other in zip(before, now, strict=True))


def _try(model: nn.Module, name: str, example: PreparedInputs, changes: dict[int, Change]) -> InputSet | None:
    left = set(changes)

    def change(leaf: torch.Tensor) -> torch.Tensor:
        if id(leaf) not in changes:
            return leaf
        left.discard(id(leaf))
        return changes[id(leaf)](leaf)

    args, kwargs = pytree.tree_map_only(torch.Tensor, change, (example.args, example.kwargs))
    if left:  # inside of an object that can't be rebuilt
        return None
    try:
        return _run(model, name, make_inputs(model, kwargs or args))
    except Exception:  # PyTorch has no answer, so there is none to compare with
        return None


def _run(model: nn.Module, name: str, prepared: PreparedInputs) -> InputSet:
    args, kwargs = prepared.copies()
    with eager(), put_back(model):
        return InputSet(name, prepared.named, model(*args, **kwargs))
