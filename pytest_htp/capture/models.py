"""What a user may hand over, as a module: a model, a transformers config, a factory, or a saved folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from pytest_htp.capture.kinds import is_transformers_config
from pytest_htp.capture.pretrained import build_from_config, build_from_directory
from pytest_htp.capture.state import seeded
from pytest_htp.capture.weightless import build_weightless
from pytest_htp.errors import HTPUsageError
from pytest_htp.vocabulary import Weights

ACCEPTED = (
    "pass an nn.Module instance, a transformers model or config, a program of torch.export, a function without "
    "arguments that makes one, or the folder of a saved model (with a config.json)"
)


@dataclass(frozen=True)
class ResolvedModel:
    """A module ready to be captured.

    Attributes:
        module: the user's own object, in the mode it is in, where one was given.
        name: folder name for a folder, class name otherwise.
    """

    module: nn.Module
    name: str


def resolve_model(model: object, weights: Weights = "real", seed: int = 0) -> ResolvedModel:
    """Find or make the module. Never touches the network, the global random state, or a given model.

    Models made from a config get seeded weights, all different. With ``weights="none"`` whatever is made
    here has no weights (see ``weightless``); a module that was given is returned with its own, wrap its use
    in ``weightless(module)``.

    Raises:
        HTPUsageError: ``model`` is nothing to export, or can't be loaded; exceptions of a factory pass through.
    """
    if weights not in get_args(Weights):
        raise HTPUsageError(f"weights must be 'real' or 'none', got {weights!r}")
    if isinstance(model, torch.export.ExportedProgram):
        return _given(model.module(), weights)
    if isinstance(model, nn.Module):
        return _given(model, weights)
    if isinstance(model, type) and issubclass(model, nn.Module) and not _required_arguments(model):
        return _from_factory(model, weights, seed)  # a class that needs no arguments is a factory
    if isinstance(model, type):
        raise HTPUsageError(
            f"got the class {model.__name__}, not an instance: make one ({model.__name__}(…)), or {ACCEPTED}"
        )
    if is_transformers_config(model):
        module = build_from_config(model, weights, seed)
        return ResolvedModel(module, type(module).__name__)
    if isinstance(model, str | Path):
        return _from_directory(Path(model), weights, seed)
    if callable(model):
        return _from_factory(model, weights, seed)
    raise HTPUsageError(f"not a model: {_describe(model)}; {ACCEPTED}")


def _given(module: nn.Module, weights: Weights) -> ResolvedModel:
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise HTPUsageError(
                f"{type(module).__name__} is not initialised: {name!r} has no shape yet; call the model once with "
                "inputs before it is exported"
            )
        if tensor.device.type == "meta" and weights == "real":
            raise HTPUsageError(
                f"{type(module).__name__} is on the meta device ({name!r} has no values): use weights='none', or pass "
                "a model with weights"
            )
    return ResolvedModel(module, type(module).__name__)


def _from_factory(factory: Callable[..., object], weights: Weights, seed: int) -> ResolvedModel:
    name = getattr(factory, "__name__", type(factory).__name__)
    required = _required_arguments(factory)
    if required:
        raise HTPUsageError(
            f"the function {name}() needs arguments ({', '.join(required)}), but a model factory is called without "
            f"any: wrap it in one without (lambda: make(…)), or {ACCEPTED}"
        )
    with seeded(seed):
        made = build_weightless(factory) if weights == "none" else factory()
    if isinstance(made, type) or (callable(made) and not isinstance(made, nn.Module)):
        raise HTPUsageError(f"the factory {name}() returned no model but {_describe(made)}")
    try:
        return resolve_model(made, weights=weights, seed=seed)
    except HTPUsageError as error:
        raise HTPUsageError(f"what the factory {name}() returned can't be exported: {error}") from error


def _required_arguments(factory: Callable[..., object]) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


def _from_directory(directory: Path, weights: Weights, seed: int) -> ResolvedModel:
    if not (directory / "config.json").is_file():
        if not directory.exists():
            hint = "no such folder (names on the Hub are not downloaded: load the model yourself and pass it)"
        elif not directory.is_dir():
            hint = "a file, not a folder"
        else:
            hint = "no config.json in it"
        raise HTPUsageError(f"{str(directory)!r} is no saved model: {hint}; {ACCEPTED}")
    module = build_from_directory(directory, weights, seed)
    return ResolvedModel(module, directory.resolve().name)


def _describe(value: object) -> str:
    """``None``, or the type with a short, printable repr."""
    if value is None:
        return "None"
    text = ascii(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
