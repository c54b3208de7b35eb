"""Keys by which requests of one session can tell that they mean the same model with the same weights.

A wrong "same" would compare one model with another's baseline, so everything that can be read cheaply is in
the key: configs whole, plain attributes and hooks of every module, and of each tensor its write count and a
few of its values. So is the code: what a test has patched must not be answered with an export of before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from pytest_htp.capture.distinct import sample
from pytest_htp.capture.writes import writes_to

_MAX_DEPTH = 4
_ATTRIBUTES_OF_TORCH = ("_parameters", "_buffers", "_modules")


def config_key(config: Any, seed: int) -> tuple[str, ...]:
    """Key of a transformers config: its class, all its fields, and the seed of the weights."""
    fields = json.dumps(config.to_dict(), sort_keys=True, default=repr)
    return type(config).__qualname__, _digest(fields), str(seed)


def directory_key(directory: Path, files: list[Path], seed: int) -> tuple[str, ...]:
    """Key of a folder: where it is, and names, sizes and times of the given files."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)]
    return str(directory.resolve()), _digest(repr(stats)), str(seed)


def module_key(module: nn.Module, *, owner: object = None) -> tuple[str, ...]:
    """Key of a module as it is now, bound to the identity of ``owner`` (by default the module itself).

    With another owner (the factory that made it) identities of the module's parts are left out, so that two
    calls give the same key.
    """
    by_identity = owner is None
    state: list[object] = []
    for path, part in module.named_modules(remove_duplicate=False):
        attributes = {k: v for k, v in vars(part).items() if k not in _ATTRIBUTES_OF_TORCH}
        cls = type(part)
        state.append((path, cls.__module__, cls.__qualname__, _plain(attributes, by_identity)))
        for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
            state.append((name, _tensor(tensor, by_identity)))
    identity = id(module if by_identity else owner)
    return str(identity), _digest(repr(state))


def code_key(module: nn.Module, *, is_transformers: bool) -> str:
    """Key of what runs: the forward of every class in the module with the globals it names, and the exporters."""
    exporters: list[object] = [torch.onnx.export, torch.export.export]
    if is_transformers:
        from transformers.exporters.exporter_onnx import OnnxExporter

        exporters += [vars(kind).get("export") for kind in OnnxExporter.__mro__]
    forwards = [getattr(cls, "forward", None) for cls in dict.fromkeys(type(part) for part in module.modules())]
    state = [_code(function) for function in (*exporters, *forwards)]
    return _digest(repr([*state, *map(_surroundings, forwards)]))


def _code(function: object) -> object:
    """What a function does. Not its identity: one that a test took out again leaves its address to the next."""
    if not isinstance(function, FunctionType):
        return repr(type(function))
    code = function.__code__
    return code.co_qualname, code.co_code, repr(code.co_consts), code.co_names


def _surroundings(function: object) -> object:
    """Values that a function reads besides its arguments."""
    if not isinstance(function, FunctionType):
        return None
    known, names = function.__globals__, function.__code__.co_names
    closure = [_plain(cell.cell_contents, False) for cell in function.__closure__ or ()]
    return closure, _plain(function.__defaults__, True), [(n, _plain(known[n], True)) for n in names if n in known]


def _tensor(tensor: torch.Tensor | None, by_identity: bool) -> object:
    if tensor is None:
        return None
    identity = (id(tensor), writes_to(tensor)) if by_identity else ()
    values = b"" if tensor.device.type == "meta" or tensor.layout != torch.strided else sample(tensor)
    return str(tensor.dtype), tuple(tensor.shape), tensor.stride(), str(tensor.device), values, identity


def _plain(value: Any, by_identity: bool, depth: int = 0) -> object:
    """Something whose repr is equal for equal values, and the same in every call."""
    if value is None or isinstance(
        value, bool | int | float | complex | str | bytes | Enum | torch.dtype | torch.device
    ):
        return repr(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return [(repr(k), _plain(v, by_identity, depth + 1)) for k, v in value.items()]
        if isinstance(value, list | tuple):
            return [_plain(item, by_identity, depth + 1) for item in value]
        if isinstance(value, set | frozenset):
            return sorted(repr(_plain(item, by_identity, depth + 1)) for item in value)
        if isinstance(value, torch.Tensor):
            return _tensor(value, by_identity)
        if hasattr(value, "to_dict") and not isinstance(value, type):  # transformers configs
            return json.dumps(value.to_dict(), sort_keys=True, default=repr)
    named = value if isinstance(value, FunctionType | MethodType | type) else type(value)
    kind = getattr(named, "__qualname__", None) or type(value).__qualname__  # a bound functools.partial has no name
    return kind, id(value) if by_identity and not isinstance(value, MethodType) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
