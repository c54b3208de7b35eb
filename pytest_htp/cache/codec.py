"""A finished export as JSON values, and back as the types it was made of; its graphs are read from their files."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir

from pytest_htp.cache.store import Broken
from pytest_htp.exporter.result import HTPExport
from pytest_htp.exporter.save import STRUCTURE_ONLY

FOLDER = "\x00folder\x00"
"""Stands for the export's folder in texts."""


def encode(export: HTPExport, folder: Path) -> dict[str, Any]:
    """The export as JSON values; ``folder`` holds its files.

    Raises:
        TypeError: it holds something that is no JSON value.
    """
    encoded = msgspec.to_builtins(export, str_keys=True, enc_hook=_plain)
    for graph in (encoded, *encoded["stages"].values()):
        graph["program"] = graph["onnx_path"]
    renamed: dict[str, Any] = _renamed(encoded, str(folder), FOLDER)
    return renamed


def decode(value: object, folder: Path) -> HTPExport:
    """The export whose files lie in ``folder``.

    Raises:
        Broken: the values are not those of an export, or a graph can't be read.
    """

    def restored(kind: type, text: object) -> object:
        path = Path(str(text))
        if kind not in (Path, ir.Model) or not path.is_relative_to(folder) or ".." in path.parts:
            raise Broken("an entry names a file outside of its folder")
        return path if kind is Path else _graph(path)

    if not isinstance(value, dict) or set(value) != {field.name for field in fields(HTPExport)}:
        raise Broken("an entry has other fields than an export")
    try:
        return msgspec.convert(_renamed(value, FOLDER, str(folder)), HTPExport, str_keys=True, dec_hook=restored)
    except Broken:
        raise
    except Exception as error:  # a foreign entry may hold anything
        raise Broken(f"an entry is no export ({type(error).__name__}: {error})"[:200]) from error


def same(one: object, other: object) -> bool:
    """Whether two exports say the same; graphs are compared as files are, by content."""
    if is_dataclass(one) and type(one) is type(other):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other):
        return False
    return isinstance(one, ir.Model) or repr(one) == repr(other)  # nan is not equal to itself


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, ir.Model):
        return None
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _renamed(value: Any, old: str, new: str) -> Any:
    """JSON values with one folder's name in place of another's."""
    kind = type(value)
    if kind is str:
        return value.replace(old, new) if old in value else value
    if kind is dict:
        return {_renamed(key, old, new): _renamed(item, old, new) for key, item in value.items()}
    return [_renamed(item, old, new) for item in value] if kind in (list, tuple) else value


def _graph(file: Path) -> ir.Model:
    model = ir.load(file)
    for graph in model.graphs():
        for initializer in graph.initializers.values():
            tensor = initializer.const_value
            if isinstance(tensor, ir.ExternalTensor) and Path(tensor.location).name != str(tensor.location):
                raise Broken("a graph's weights lie outside of its folder")
    model.metadata_props.pop(STRUCTURE_ONLY, None)
    return model
