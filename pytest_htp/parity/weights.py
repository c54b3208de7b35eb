"""Weights that ONNX Runtime takes from memory instead of the file beside the model.

The export still holds every weight when its file is checked; letting ONNX Runtime map the file as well would
count the weights twice in the process's memory. A weight is taken from memory only where the file holds the
same bytes, so that a file written wrongly is still what is run.

Most linear layers' weights are stored transposed (the exporter folded ``weight.T``). Memory holds no such bytes
in a row, so ONNX Runtime is given the weight as it lies there, and the products that read it are told to take it
transposed: ``Gemm`` by its own attribute, ``MatMul`` as ONNX Runtime's ``FusedMatMul``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import torch
from onnx import helper

Array = npt.NDArray[np.generic]

# Smaller ones cost more to look at than they take.
SHARED_BYTES = 2**16
_CHUNK_BYTES = 2**22  # read or compared at a time: bounds memory, decides nothing
_KINDS = "biuf"  # numpy's own types; ONNX Runtime takes no others (bfloat16) this way
_MICROSOFT = "com.microsoft"
_PREFIX = "pytest_htp.held"


def take_from_memory(proto: onnx.ModelProto, path: Path, program: ir.Model) -> dict[str, Array]:
    """Let ``proto`` read weights that ``program`` holds.

    Args:
        proto: the graph of the file at ``path``; the readers of a weight that is stored transposed are modified.
        path: the saved model, whose weights are in a file beside it.
        program: the same graph in memory.

    Returns:
        Initializer name in ``proto`` → its elements, for ``SessionOptions.add_initializer``.
    """
    readers = _readers(proto.graph)
    found: dict[str, Array] = {}
    for tensor in proto.graph.initializer:
        value = program.graph.initializers.get(tensor.name)
        held = value.const_value if value is not None else None
        if held is None or isinstance(held, ir.ExternalTensor) or held.nbytes < SHARED_BYTES:
            continue
        if tensor.data_location != onnx.TensorProto.EXTERNAL or tensor.name not in readers:
            continue
        array = held.numpy()
        # FusedMatMul has kernels for fp32 alone.
        lies_transposed = array.dtype == np.float32 and array.ndim == 2 and array.T.flags.c_contiguous
        lies_transposed &= not array.flags.c_contiguous
        if array.dtype.kind not in _KINDS or not (array.flags.c_contiguous or lies_transposed):
            continue
        if lies_transposed and not all(_multiplies_by(tensor.name, node) for node in readers[tensor.name]):
            continue
        if not _stores(path.parent, tensor, array):
            continue
        if lies_transposed:
            name = f"{_PREFIX}.{tensor.name}"
            for node in readers[tensor.name]:
                _take_transposed(node, name)
            tensor.name, array = name, array.T
            tensor.dims[:] = array.shape
        found[tensor.name] = array
    if all(entry.domain != _MICROSOFT for entry in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
    return found


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Name → nodes of the main graph that read it, by themselves or in the bodies that they run."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(_read_by(node)):
            readers.setdefault(name, []).append(node)
    return readers


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from _read_by(inner)
            yield from (output.name for output in body.output)


def _multiplies_by(name: str, node: onnx.NodeProto) -> bool:
    """Whether a node is a product of matrices whose second is the weight."""
    places = [place for place, read in enumerate(node.input) if read == name]
    return node.domain in ("", "ai.onnx") and node.op_type in ("MatMul", "Gemm") and places == [1]


def _take_transposed(node: onnx.NodeProto, name: str) -> None:
    """Let a product read its second matrix, called ``name`` now, by columns."""
    node.input[1] = name
    if node.op_type == "MatMul":
        node.op_type, node.domain = "FusedMatMul", _MICROSOFT
    given = {attribute.name: attribute for attribute in node.attribute}
    before = given["transB"].i if "transB" in given else 0
    if "transB" in given:
        node.attribute.remove(given["transB"])
    node.attribute.append(helper.make_attribute("transB", 1 - before))


def _stores(folder: Path, tensor: onnx.TensorProto, array: Array) -> bool:
    """Whether the file a tensor refers to has exactly the array's bytes there, in C order. Reads a few MB at a time."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if int(entries.get("length", array.nbytes)) != array.nbytes:
        return False
    read = np.empty(_CHUNK_BYTES, np.uint8)
    try:
        with (folder / entries["location"]).open("rb", buffering=0) as file:
            file.seek(int(entries.get("offset", 0)))
            for part in _parts(array):
                stored = read[: part.nbytes]
                if file.readinto(stored) != part.nbytes or not np.array_equal(_words(stored), _words(part)):
                    return False
    except OSError:
        return False
    return True


def _parts(array: Array) -> Iterator[npt.NDArray[np.uint8]]:
    """The bytes of an array in C order, a few MB at a time."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        yield from (flat[start : start + _CHUNK_BYTES] for start in range(0, flat.size, _CHUNK_BYTES))
        return
    rows = max(1, _CHUNK_BYTES // array[0].nbytes)
    for start in range(0, len(array), rows):
        part = torch.from_numpy(array[start : start + rows]).contiguous()  # several times faster than numpy's copy
        yield from _parts(part.numpy())


def _words(data: npt.NDArray[np.uint8]) -> Array:
    """The same bytes in as few elements as they divide into."""
    return data.view(np.int64) if data.size % 8 == 0 else data
