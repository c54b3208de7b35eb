"""A finished export as JSON values, and back as the types it was made of.

The fields of the dataclasses are written as they are declared; the graph is read from its file. What would not
come back as the same is not stored.
"""

from __future__ import annotations

import importlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import msgspec
import onnx_ir as ir

from pytest_htp.cache.store import Broken
from pytest_htp.exporter.result import HTPExport
from pytest_htp.exporter.save import STRUCTURE_ONLY

_FOLDER = "\x00folder\x00"  # stands for the export's folder in texts
_PROGRAM = "program"  # fields of this name hold the graph of the file that their neighbour names
_FILE = "onnx_path"


def encode(export: HTPExport, folder: Path) -> dict[str, object]:
    """The export as JSON values; ``folder`` holds its files."""
    encoded = _encode(export, str(folder))
    assert isinstance(encoded, dict)
    return encoded


def decode(value: object, folder: Path) -> HTPExport:
    """The export whose files lie in ``folder``.

    Raises:
        Broken: the values are not those of an export, or a graph can't be read.
    """
    try:
        export = _decode(HTPExport, value, folder)
    except Broken:
        raise
    except Exception as error:  # a foreign entry may hold anything
        raise Broken(f"an entry is no export ({type(error).__name__}: {error})"[:200]) from error
    assert isinstance(export, HTPExport)
    return export


def same(one: object, other: object) -> bool:
    """Whether two exports say the same; graphs are compared as files are, by content."""
    if is_dataclass(one) and type(one) is type(other):
        names = [field.name for field in fields(one) if field.name != _PROGRAM]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)  # nan is not equal to itself


def _encode(value: object, folder: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: None
            if isinstance(getattr(value, field.name), ir.Model)
            else _encode(getattr(value, field.name), folder)
            for field in fields(value)
        }
    if isinstance(value, str | Path):
        return str(value.value if isinstance(value, Enum) else value).replace(folder, _FOLDER)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {_encode(key, folder): _encode(item, folder) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_encode(item, folder) for item in value]
    return value if isinstance(value, bool | int | float | None) else msgspec.to_builtins(value)


def _restored(value: object, folder: str) -> Any:
    """JSON values with the folder's name put in; most of an export is such values."""
    kind = type(value)
    if kind is str:
        return value.replace(_FOLDER, folder) if _FOLDER in value else value
    if kind is dict:
        return {_restored(key, folder): _restored(item, folder) for key, item in value.items()}
    return [_restored(item, folder) for item in value] if kind is list else value


def _decode(hint: Any, value: object, folder: Path) -> Any:
    if hint is Any or hint is dict:
        return _restored(value, str(folder))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        others = [item for item in arguments if item is not type(None)]
        return _decode(others[0], value, folder) if len(others) == 1 else msgspec.convert(value, hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _decode_fields(hint, value, folder)
    if hint is Path:
        path = Path(value.replace(_FOLDER, str(folder)))
        if not path.is_relative_to(folder) or ".." in path.parts:
            raise Broken("an entry names a file outside of its folder")
        return path
    if isinstance(value, str) and hint is str:
        return value.replace(_FOLDER, str(folder))
    if isinstance(value, dict) and origin in (dict, Mapping):
        key, inner = arguments
        names = {name: msgspec.convert(name, key, strict=False) if key is int else name for name in value}
        return {_decode(key, names[name], folder): _decode(inner, item, folder) for name, item in value.items()}
    if origin is tuple and arguments[-1] is not ...:
        return msgspec.convert(value, hint)
    if isinstance(value, list) and origin in (list, tuple, Sequence):
        items = [_decode(arguments[0], item, folder) for item in value]
        return tuple(items) if origin is tuple else items
    return msgspec.convert(value, hint)


def _decode_fields(cls: type, value: object, folder: Path) -> Any:
    hints = _hints(cls)
    names = {field.name for field in fields(cls)}
    if not isinstance(value, dict) or set(value) != names:
        raise Broken("an entry has other fields than an export")
    found = {name: _decode(hints[name], value[name], folder) for name in names if name != _PROGRAM}
    if _PROGRAM in names:
        found[_PROGRAM] = _graph(found[_FILE])
    return cls(**found)


def _graph(file: Path) -> ir.Model:
    model = ir.load(file)
    for graph in model.graphs():
        for initializer in graph.initializers.values():
            tensor = initializer.const_value
            if isinstance(tensor, ir.ExternalTensor) and Path(tensor.location).name != str(tensor.location):
                raise Broken("a graph's weights lie outside of its folder")
    model.metadata_props.pop(STRUCTURE_ONLY, None)
    return model


@lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, object]:
    """Types of the fields; names that a module imports for type checkers only are looked for in the package."""
    known: dict[str, object] = {
        name: value
        for module in list(sys.modules)
        if module.startswith("pytest_htp.")
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type)
    }
    known |= {"ir": ir, "Path": Path, "Any": Any, "Mapping": Mapping, "Sequence": Sequence}
    for room in ("parity", "targets", "stages", "quality"):
        with suppress(ModuleNotFoundError):
            found = importlib.import_module(f"pytest_htp.{room}")
            known |= {name: value for name, value in vars(found).items() if isinstance(value, type)}
    return typing.get_type_hints(cls, {**known, **vars(sys.modules[cls.__module__])})
