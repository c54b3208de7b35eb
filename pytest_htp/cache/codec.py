"""A finished export as JSON values, and back as the types it was made of; its graphs are parsed from their files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import onnx

from pytest_htp.cache.store import Broken
from pytest_htp.exporter.graph import Graph, SavedGraph
from pytest_htp.exporter.result import HTPExport


def encode(export: HTPExport) -> dict[str, Any]:
    """The export as JSON values.

    Raises:
        TypeError: it holds something that is no JSON value.
    """
    encoded: dict[str, Any] = msgspec.to_builtins(export, str_keys=True, enc_hook=_plain)
    for made in (encoded, *encoded["stages"].values()):
        made["graph"] = made["onnx_path"]
    return encoded


def decode(value: object, folder: Path) -> HTPExport:
    """The export whose files lie in ``folder``.

    Raises:
        Broken: the values are not those of an export, or a file is no graph.
    """

    def restored(kind: type, text: object) -> object:
        path = Path(str(text))
        if kind not in (Path, Graph) or not path.is_relative_to(folder) or ".." in path.parts:
            raise Broken("an entry names a file outside of its folder")
        return path if kind is Path else _graph(path)

    if not isinstance(value, dict) or set(value) != {field.name for field in fields(HTPExport)}:
        raise Broken("an entry has other fields than an export")
    try:
        return msgspec.convert(value, HTPExport, str_keys=True, dec_hook=restored)
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
    if isinstance(one, Graph) and isinstance(other, Graph):
        return True
    return type(one) is type(other) and repr(one) == repr(other)  # nan is not equal to itself


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Graph):
        return None
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _graph(file: Path) -> Graph:
    """What is looked at is the protobuf: onnx-ir, which most tests don't need, takes ten times as long."""
    proto = onnx.load(file, load_external_data=False)
    if not proto.HasField("graph"):  # protobuf reads many a file that holds something else
        raise Broken("a file is no graph")
    for tensor in _tensors(proto.graph, *proto.functions):
        for entry in tensor.external_data:
            if entry.key == "location" and Path(entry.value).name != entry.value:
                raise Broken("a graph's weights lie outside of its folder")
    return SavedGraph(proto, file.parent)


def _tensors(*graphs: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Tensors of graphs and functions, and of the graphs in their nodes."""
    for graph in graphs:
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                yield from _tensors(attribute.g, *attribute.graphs)
