"""From what a user passes as ``inputs`` to the arguments of one call of ``forward``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import nn
from torch.utils import _pytree as pytree

from pytest_htp.capture.hierarchy import tensors_in
from pytest_htp.capture.inputs.generate import generate
from pytest_htp.capture.inputs.signature import check_arguments, example, forward_signature
from pytest_htp.capture.inputs.spec import TensorSpec, looks_like_spec, parse_spec
from pytest_htp.capture.inputs.values import value_for
from pytest_htp.capture.kinds import is_transformers_model
from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class PreparedInputs:
    """The arguments of one call.

    Attributes:
        args, kwargs: what ``forward`` is called with; the tensors a user gave are the user's own.
        generated: whether they were made here because none were given.
        named: every tensor in them under a name for display (``past_key_values[0][1]``).
        dynamic_axes: input → {axis: name}, from descriptions such as ``int64[batch=2, seq=16]``; one inside of another
            is called ``pair['a'][0]``.
    """

    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    generated: bool = False
    named: dict[str, torch.Tensor] = field(default_factory=dict)
    dynamic_axes: dict[str, dict[int, str]] = field(default_factory=dict)

    def copies(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Arguments that a call may write to: caches grow, exporters pop entries. The originals stay."""
        args, kwargs = pytree.tree_map(_copy, (self.args, self.kwargs))
        return args, kwargs


def make_inputs(model: nn.Module, inputs: object, *, seed: int = 0) -> PreparedInputs:
    """Check and name the given inputs, or make them.

    ``inputs``: a mapping (by name), a tuple or list (by position), one tensor, or None (made from config and
    signature of a transformers model). A string instead of a tensor describes one, inside of containers as well:
    ``"int64[batch=2, seq=16]"``.

    Raises:
        HTPUsageError: they don't fit ``forward`` (names the argument), or can't be made (shows an example).
    """
    if inputs is None:
        return _prepared(model, (), _generated(model, seed), generated=True, dynamic_axes={})
    if isinstance(inputs, Mapping):
        if odd := [key for key in inputs if not isinstance(key, str)]:
            raise HTPUsageError(f"names of inputs must be strings, got {odd[0]!a}")
        given: dict[str, object] = dict(inputs)
        check_arguments(model, (), given)
        args: tuple[object, ...] = ()
    else:
        args = _positional(model, inputs)
        check_arguments(model, args, {})
        given = {}
    names = [*_names_by_position(model, len(args)), *given]
    specs = _specs(model, dict(zip(names, [*args, *given.values()], strict=True)))
    generator = torch.Generator().manual_seed(seed)
    made = {
        name: value_for(name, getattr(torch, spec.dtype), spec.shape, model, generator) for name, spec in specs.items()
    }
    args = tuple(_filled(name, value, made) for name, value in zip(names[: len(args)], args, strict=True))
    kwargs = {name: _filled(name, value, made) for name, value in given.items()}
    _refuse_lists(model, kwargs)
    axes = {name: spec.dynamic_axes for name, spec in specs.items() if spec.dynamic_axes}
    return _prepared(model, args, kwargs, generated=False, dynamic_axes=axes)


def _prepared(
    model: nn.Module,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    generated: bool,
    dynamic_axes: dict[str, dict[int, str]],
) -> PreparedInputs:
    values = [*zip(_names_by_position(model, len(args)), args, strict=True), *kwargs.items()]
    named = {record.where: record.tensor for name, value in values for record in tensors_in(value, name)}
    return PreparedInputs(args, kwargs, generated, named, dynamic_axes)


def _generated(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    if is_transformers_model(model):
        return generate(model, seed)
    signature = forward_signature(model)
    if signature is not None and not signature.parameters:
        return {}
    takes = f"forward takes {', '.join(signature.parameters)}" if signature else "forward has no signature"
    raise HTPUsageError(
        f"{type(model).__name__} is no transformers model, so its inputs can't be made ({takes}); pass them, for "
        f"example {example(model)}"
    )


def _positional(model: nn.Module, inputs: object) -> tuple[object, ...]:
    if isinstance(inputs, tuple | list):
        return tuple(inputs)
    if isinstance(inputs, torch.Tensor | str) or _is_array(inputs):
        return (inputs,)
    raise HTPUsageError(
        f"inputs must be a mapping, a tuple, a tensor or None, got {type(inputs).__name__}; for example "
        f"{example(model)}"
    )


def _names_by_position(model: nn.Module, count: int) -> list[str]:
    signature = forward_signature(model)
    names = [
        p.name
        for p in (signature.parameters.values() if signature else ())
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return [names[i] if i < len(names) else f"arg{i}" for i in range(count)]


def _specs(model: nn.Module, values: dict[str, object]) -> dict[str, TensorSpec]:
    """Parse the strings among the inputs; an axis has the same size wherever its name stands."""
    signature = forward_signature(model)
    specs: dict[str, TensorSpec] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name, value in values.items():
        parameter = signature.parameters.get(name) if signature else None
        takes_text = parameter is not None and (
            parameter.annotation in (str, "str") or isinstance(parameter.default, str)
        )
        for place, text in _leaves(name, value):
            may_be_text = takes_text or place != name
            if not isinstance(text, str) or (may_be_text and not looks_like_spec(text)):
                continue
            specs[place] = spec = parse_spec(text)
            for axis, axis_name in spec.dynamic_axes.items():
                size, where = sizes.setdefault(axis_name, (spec.shape[axis], place))
                if size != spec.shape[axis]:
                    raise HTPUsageError(
                        f"axis {axis_name!r} has size {size} in {where!r} and {spec.shape[axis]} in {place!r}; one "
                        "name is one size: use the same, or another name"
                    )
    return specs


def _leaves(name: str, value: object) -> list[tuple[str, object]]:
    """An input's values by their places in it: ``pair['a'][0]``; one that is no container is its own."""
    return [(f"{name}{pytree.keystr(path)}", leaf) for path, leaf in pytree.tree_flatten_with_path(value)[0]]


def _filled(name: str, value: object, made: Mapping[str, torch.Tensor]) -> object:
    """An input with tensors in place of descriptions; without any, the user's own object."""
    if not any(place in made for place, _ in _leaves(name, value)):
        return _tensor(name, value)
    return pytree.tree_map_with_path(lambda path, leaf: made.get(f"{name}{pytree.keystr(path)}", leaf), value)


def _is_array(value: object) -> TypeGuard[npt.NDArray[np.generic]]:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _tensor(name: str, value: object) -> object:
    """Arrays of numpy become tensors; everything else stays the user's object."""
    if not _is_array(value):
        return value
    try:
        return torch.tensor(value)
    except TypeError as error:
        raise HTPUsageError(f"input {name!a} is an array of {value.dtype}, which no tensor can hold") from error


def _refuse_lists(model: nn.Module, kwargs: Mapping[str, object]) -> None:
    """Tokenizers give lists unless told otherwise, and transformers fails on them far from the cause."""
    if not hasattr(model, "main_input_name"):
        return
    for name, value in kwargs.items():
        if isinstance(value, list) and name.endswith(("_ids", "_mask", "_values", "_features")):
            raise HTPUsageError(
                f"input {name!a} is a list, not a tensor: pass torch.tensor(…), or call the tokenizer or processor "
                "with return_tensors='pt'"
            )


def _copy(value: object) -> object:
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
