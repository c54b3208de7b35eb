"""Reading an ``.onnx`` that nobody vouches for: the graph at once, weights beside it only where they are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.given import MAX_ONNX, read_given

# Constants up to this size are part of the program, and their values are looked at.
_SMALL = 16


@dataclass(frozen=True)
class OnnxFile:
    """A model and where it was read from.

    Attributes:
        missing: names of initializers whose external data is not there; their content is unknown.
    """

    path: str
    model: ir.Model
    missing: tuple[str, ...] = ()


def load_onnx(path: str, content: bytes | None = None) -> OnnxFile:
    """Read a file or pipe, or what was read of it already.

    Raises:
        HTPUsageError: not there, not ONNX, cut off, beyond what protobuf can hold, or its weights lie outside of its
            folder.
    """
    import onnx  # 0.4 s

    name = path if path.isprintable() else repr(path)
    if Path(path).is_file() and Path(path).stat().st_size > MAX_ONNX:
        raise HTPUsageError(f"{name} is larger than 2 GiB, which protobuf can't hold: save it with external data")
    content = read_given(path, MAX_ONNX) if content is None else content
    if not content:
        raise HTPUsageError(f"{name}: not an ONNX model (it is empty)")
    try:
        proto = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError; its class depends on the backend
        raise HTPUsageError(
            f"{name}: not an ONNX model, or one that is cut off ({type(error).__name__}): get the file again"
        ) from None
    del content
    if not proto.HasField("graph"):  # protobuf reads many a file that holds something else
        raise HTPUsageError(f"{name}: not an ONNX model (it has no graph)")
    try:
        model = ir.serde.deserialize_model(proto)
    except Exception as error:  # a graph that contradicts itself; onnx_ir raises whatever it stumbles over
        raise HTPUsageError(f"{name}: its graph can't be read ({type(error).__name__}: {error})"[:300]) from None
    return OnnxFile(path, model, _place_external_data(name, model, Path(path).resolve().parent))


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
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value, value.const_value
