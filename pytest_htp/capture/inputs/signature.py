"""What a model's ``forward`` takes: checks of given inputs, and an example for who has to give them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import get_args

from torch import nn

from pytest_htp.errors import HTPUsageError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_IMAGE = 32
# transformers' decorators take these for every model, whatever the signature says.
OUTPUT_FLAGS = frozenset(("use_cache", "output_attentions", "output_hidden_states", "return_dict"))
_SEQUENCE = 16


def forward_signature(model: nn.Module) -> inspect.Signature | None:
    """The signature of ``forward``, of the original module if it was compiled; None if Python can't tell."""
    original = getattr(model, "_orig_mod", model)
    try:
        return inspect.signature(original.forward)
    except (TypeError, ValueError):
        return None


def check_arguments(model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Raise HTPUsageError, naming the argument, where ``forward`` would not accept these."""
    signature = forward_signature(model)
    if signature is None:
        return
    parameters = signature.parameters
    where = f"{type(model).__name__}.forward"
    takes = f"it takes {', '.join(parameters) or 'nothing'}"
    by_position = [p for p in parameters.values() if p.kind in _POSITIONAL]
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    if len(args) > len(by_position) and not takes_more:
        raise HTPUsageError(f"{where} got {len(args)} inputs by position; {takes}")
    filled = {p.name for p in by_position[: len(args)]}
    if twice := sorted(filled & set(kwargs)):
        raise HTPUsageError(f"{where} got {twice[0]!r} by position and by name")
    if not _open_ended(parameters):
        known = {p.name for p in parameters.values() if p.kind is not p.POSITIONAL_ONLY} | _extra_names(parameters)
        if hasattr(model, "config"):
            known |= OUTPUT_FLAGS
        if unknown := [name for name in kwargs if name not in known]:
            raise HTPUsageError(f"{where} has no input {unknown[0]!a}; {takes}")
    required = [p.name for p in parameters.values() if _is_required(p)]
    if missing := [name for name in required if name not in filled and name not in kwargs]:
        raise HTPUsageError(f"{where} needs {', '.join(map(repr, missing))}, for example {example(model)}")


def example(model: nn.Module) -> str:
    """Python source of inputs that may fit: shapes follow the model's first layer."""
    signature = forward_signature(model)
    parameters = list(signature.parameters.values()) if signature else []
    names = [p.name for p in parameters if _is_required(p)] or [p.name for p in parameters if p.kind in _POSITIONAL][:1]
    shown = [f'"{name}": {_tensor_for(model) if i == 0 else "torch.randn(2, 8)"}' for i, name in enumerate(names)]
    return "inputs={" + ", ".join(shown or ['"x": torch.randn(2, 8)']) + "}"


def _tensor_for(model: nn.Module) -> str:
    for layer in model.modules():
        if isinstance(layer, nn.Embedding):
            return f"torch.randint({layer.num_embeddings}, (2, {_SEQUENCE}))"
        if isinstance(layer, nn.Linear):
            return f"torch.randn(2, {layer.in_features})"
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            shape = [2, layer.in_channels] + [_IMAGE] * len(layer.kernel_size)
            return f"torch.randn({', '.join(map(str, shape))})"
        if isinstance(layer, nn.RNNBase):
            return f"torch.randn({_SEQUENCE}, 2, {layer.input_size})"
    return "torch.randn(2, 8)"


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind in (*_POSITIONAL, parameter.KEYWORD_ONLY)


def _open_ended(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether ``**kwargs`` takes any name: it does unless a TypedDict says which."""
    rest = [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    return bool(rest) and not _extra_names(parameters)


def _extra_names(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    """Names listed by ``**kwargs: Unpack[SomeTypedDict]``."""
    names: set[str] = set()
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            for typed_dict in get_args(parameter.annotation):
                names |= set(getattr(typed_dict, "__annotations__", ()))
    return names


def by_name(module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
    """The arguments of a call of ``module`` by the names that its forward gives them."""
    signature = inspect.signature(module.forward)
    named: dict[str, object] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            named[name] = value
    return named
