"""Reading an ``.onnx`` that nobody vouches for: the graph at once, weights beside it only where they are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from pytest_htp.errors import HTPUsageError
from pytest_htp.files.proto import parse_onnx
from pytest_htp.format.given import MAX_ONNX, read_given
from pytest_htp.tagging.facts import graphs_in

if TYPE_CHECKING:
    import onnx

# Constants up to this size are part of the program, and their values are looked at.
_SMALL = 16


@dataclass(frozen=True)
class OnnxFile:
    """A file, parsed; its graph is read when it is first asked for.

    Attributes:
        path: as it was given.
        proto: what was parsed. Reading the graph takes the types of values out of it.
    """

    path: str
    proto: onnx.ModelProto

    @property
    def nodes(self) -> int:
        """Nodes of the main graph."""
        return len(self.proto.graph.node)

    @property
    def bytes(self) -> int:
        """Size without external data."""
        return int(self.proto.ByteSize())

    @property
    def model(self) -> ir.Model:
        """The model.

        Raises:
            HTPUsageError: its graph contradicts itself, or weights lie outside of its folder.
        """
        return self._read[0]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of initializers whose external data is not there; their content is unknown."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[ir.Model, tuple[str, ...]]:
        name = _printable(self.path)
        try:
            model = _model_of(self.proto)
        except Exception as error:  # onnx_ir raises whatever it stumbles over
            raise HTPUsageError(f"{name}: its graph can't be read ({type(error).__name__}: {error})"[:300]) from None
        return model, _place_external_data(name, model, Path(self.path).resolve().parent)


def load_onnx(path: str, content: bytes | None = None) -> OnnxFile:
    """Read a file or pipe, or what was read of it already.

    Raises:
        HTPUsageError: not there, not ONNX, cut off, or beyond what protobuf can hold.
    """
    name = _printable(path)
    if Path(path).is_file() and Path(path).stat().st_size > MAX_ONNX:
        raise HTPUsageError(f"{name} is larger than 2 GiB, which protobuf can't hold: save it with external data")
    content = read_given(path, MAX_ONNX) if content is None else content
    return OnnxFile(path, parse_onnx(name, content))


def _printable(path: str) -> str:
    return path if path.isprintable() else repr(path)


def _model_of(proto: onnx.ModelProto) -> ir.Model:
    """The model as ``onnx_ir`` reads it, but each of the few different types of values is read once, not once for each
    value: that is half of what reading a large file costs. The types are taken out of ``proto``.
    """
    graph = proto.graph
    # These have their types in several places, of which onnx_ir knows the order.
    elsewhere = {value.name for values in (graph.input, graph.output, graph.initializer) for value in values}
    read: dict[bytes, tuple[ir.TypeProtocol | None, ir.Shape | None]] = {}
    known: dict[str, tuple[ir.TensorType, ir.Shape | None]] = {}
    rest = []
    for info in graph.value_info:
        kind = info.type.SerializeToString()
        if kind not in read:
            read[kind] = (
                ir.serde.deserialize_type_proto_for_type(info.type),
                ir.serde.deserialize_type_proto_for_shape(info.type),
            )
        type_, shape = read[kind]
        if not isinstance(type_, ir.TensorType) or info.name in elsewhere or info.metadata_props or info.doc_string:
            rest.append(info)
        else:
            known[info.name] = type_, shape
    del graph.value_info[:]
    graph.value_info.extend(rest)
    model = ir.serde.deserialize_model(proto)
    for node in model.graph:
        for value in node.outputs:
            if value.name in known:
                type_, value.shape = known[value.name]
                value.type = ir.TensorType(type_.dtype, denotation=type_.denotation)  # shapes are frozen, types are not
    return model


def _place_external_data(name: str, model: ir.Model, folder: Path) -> tuple[str, ...]:
    """Let external tensors be read from the model's folder. Returns those that aren't there."""
    missing = []
    for value, tensor in _external(model):
        location = os.fspath(tensor.location)
        file = (folder / location).resolve()
        if Path(location).is_absolute() or not file.is_relative_to(folder):
            raise HTPUsageError(
                f"{name}: weight {value.name!a} is said to lie outside of the model's folder ({location[:200]!a}): "
                "such a file is not read; save the model anew with its weights beside it"
            )
        tensor.base_dir = folder
        end = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
        if not file.is_file() or file.stat().st_size < end:
            missing.append(value.name or "")
            if tensor.size <= _SMALL:
                value.const_value = ir.tensor(np.zeros(tensor.shape.numpy(), tensor.dtype.numpy()), name=value.name)
    return tuple(missing)


def _external(model: ir.Model) -> Iterator[tuple[ir.Value, ir.ExternalTensor]]:
    for graph in graphs_in(model.graph):
        for value in list(graph.initializers.values()):
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value, value.const_value
