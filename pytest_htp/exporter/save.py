"""Write the graph: one file, or one with its weights beside it; whole or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import onnx
import onnx_ir as ir

from pytest_htp.errors import HTPUsageError
from pytest_htp.exporter.graph import STRUCTURE_ONLY
from pytest_htp.exporter.result import HTPExport

# Above this, weights go beside the graph: serializing them into the protobuf would copy them twice, and protobuf ends
# at 2 GiB anyway.
EXTERNAL_DATA_BYTES = 32 * 2**20
PROTOBUF_BYTES = 2 * 2**30  # https://protobuf.dev/programming-guides/proto-limits/
# Initializers up to this size are part of the structure (axes, scales); onnx-ir keeps smaller ones in the file as well.
STRUCTURE_BYTES = 8192


@dataclass(frozen=True)
class SavedModel:
    """Sizes in bytes; ``external_size`` is None where all weights are in the file."""

    path: Path
    size: int
    external_size: int | None


def save_model(
    model: ir.Model, path: Path, *, structure_only: bool, parameters: set[str], external: bool | None = None
) -> SavedModel:
    """Save ``model`` at ``path``, atomically.

    Args:
        model: the graph.
        path: the ``.onnx`` file.
        structure_only: write initializers with type and shape but no data (weights were never there).
        parameters: names of initializers that are parameters.
        external: whether weights go beside the graph; None decides by ``EXTERNAL_DATA_BYTES``.

    Raises:
        HTPUsageError: weights in the file were asked for, and there are more than a protobuf can hold.
        OSError: the path can't be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.parent / f".htp-{token_hex(4)}"
    staging.mkdir()
    try:
        staged = staging / path.name
        if structure_only:
            staged.write_bytes(_structure(model, parameters))
        else:
            total = sum(
                value.const_value.nbytes
                for graph in model.graphs()
                for value in graph.initializers.values()
                if value.const_value is not None
            )
            if external is False and total >= PROTOBUF_BYTES:
                raise HTPUsageError(
                    f"option external_data=False puts all weights into one file, but they are {total:,} bytes and a "
                    f"protobuf ends at {PROTOBUF_BYTES:,}: leave the option out"
                )
            beside = total > EXTERNAL_DATA_BYTES if external is None else external
            if not beside:
                ir.external_data.load_to_model(model)  # a tool may have put them beside its file; that one goes below
            ir.save(model, staged, external_data=f"{path.name}.data" if beside else None)
        written = staging / f"{path.name}.data"
        external_size = written.stat().st_size if written.exists() else None
        size = staged.stat().st_size
        if external_size is not None:
            os.replace(written, path.with_name(written.name))  # noqa: PTH105 - fault injection patches os.replace
        os.replace(staged, path)  # noqa: PTH105
        if external_size is None:  # weights of an earlier model of this name belong to nothing any more
            path.with_name(written.name).unlink(missing_ok=True)
        return SavedModel(path, size, external_size)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def structures(export: HTPExport) -> dict[str, bytes]:
    """File name → graph without weights, of the export and its stages."""
    parameters = set(export.parameters)
    return {made.onnx_path.name: _structure(made.program, parameters) for made in (export, *export.stages.values())}


def _structure(model: ir.Model, parameters: set[str]) -> bytes:
    replaced: list[tuple[ir.Value, ir.TensorProtocol]] = []
    before = model.metadata_props.get(STRUCTURE_ONLY)
    try:
        for graph in model.graphs():
            for value in graph.initializers.values():
                tensor = value.const_value
                if tensor is None or not (value.name in parameters or tensor.nbytes > STRUCTURE_BYTES):
                    continue
                replaced.append((value, tensor))
                # Without data of any kind: onnx.load refuses a model whose external data is not there.
                described = onnx.TensorProto(
                    name=value.name or "", data_type=tensor.dtype.value, dims=tensor.shape.numpy()
                )
                value.const_value = ir.TensorProtoTensor(described)
        model.metadata_props[STRUCTURE_ONLY] = "true"
        content: bytes = ir.to_proto(model).SerializeToString()
        return content
    finally:
        for value, tensor in replaced:
            value.const_value = tensor
        if before is None:
            model.metadata_props.pop(STRUCTURE_ONLY, None)
