"""Weights that ONNX Runtime may take from memory instead of the file beside the model.

The export still holds every weight when its file is checked; letting ONNX Runtime map the file as well would
count the weights twice in the process's memory. A weight is taken from memory only where the file holds the
same bytes, so that a file written wrongly is still what is run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

# Smaller ones cost more to look at than they take.
SHARED_BYTES = 2**16
_CHUNK_BYTES = 2**22
_KINDS = "biuf"  # numpy's own types; ONNX Runtime takes no others (bfloat16) this way


def weights_in_memory(proto: onnx.ModelProto, path: Path, program: ir.Model) -> dict[str, npt.NDArray[np.generic]]:
    """Initializer name → its elements, for those stored beside ``path`` with the bytes that ``program``
    holds.
    """
    used = {name for node in proto.graph.node for name in node.input}
    found = {}
    for tensor in proto.graph.initializer:
        value = program.graph.initializers.get(tensor.name)
        held = value.const_value if value is not None else None
        if held is None or isinstance(held, ir.ExternalTensor) or held.nbytes < SHARED_BYTES or tensor.name not in used:
            continue
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        array = held.numpy()
        if array.dtype.kind in _KINDS and array.flags.c_contiguous and _stores(path.parent, tensor, array):
            found[tensor.name] = array
    return found


def _stores(folder: Path, tensor: onnx.TensorProto, array: npt.NDArray[np.generic]) -> bool:
    """Whether the file a tensor refers to has exactly these bytes there. Reads a few MB at a time."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    expected = array.reshape(-1).view(np.uint8).data
    if int(entries.get("length", len(expected))) != len(expected):
        return False
    try:
        with (folder / entries["location"]).open("rb") as file:
            file.seek(int(entries.get("offset", 0)))
            return all(
                file.read(len(part)) == part
                for start in range(0, len(expected), _CHUNK_BYTES)
                if (part := expected[start : start + _CHUNK_BYTES])
            )
    except OSError:
        return False
