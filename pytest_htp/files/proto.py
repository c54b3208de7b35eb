"""From bytes to a protobuf that is an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    import onnx


def parse_onnx(name: str, content: bytes) -> onnx.ModelProto:
    """Read a model; ``name`` is the file's, for messages. Its weights beside the file are not opened.

    Raises:
        HTPUsageError: onnx is missing, or this is no model.
    """
    try:
        import onnx  # 0.4 s
    except ImportError:
        raise HTPUsageError(f"{name}: reading an .onnx needs the package onnx: pip install onnx") from None
    if not content:
        raise HTPUsageError(f"{name}: not an ONNX model (it is empty): export it again")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError; its class depends on the backend
        raise HTPUsageError(
            f"{name}: not an ONNX model, or one that is cut off or nested deeper than protobuf reads "
            f"({type(error).__name__}): get the file again, or export it anew"
        ) from None
    if not model.HasField("graph"):  # protobuf reads many a file that holds something else
        raise HTPUsageError(f"{name}: not an ONNX model (it has no graph): get the file again, or export it anew")
    return model
