"""onnx's own full check of a file: operators, attributes, types, shapes."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper


def check_model(path: Path, *, structure_only: bool) -> None:
    """Check a file of any size.

    Args:
        path: the ``.onnx`` file.
        structure_only: the file lacks its weights, which onnx takes for a fault; they count as inputs of their type
            and shape then.

    Raises:
        onnx.checker.ValidationError, onnx.shape_inference.InferenceError: it is not valid.
    """
    if structure_only:
        onnx.checker.check_model(_weights_as_inputs(onnx.load(path)), full_check=True)
    else:
        onnx.checker.check_model(path, full_check=True)


def _weights_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    stored = [tensor for tensor in graph.initializer if has_data(tensor)]
    known = {value.name for value in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if not has_data(tensor) and tensor.name not in known
    )
    del graph.initializer[:]
    graph.initializer.extend(stored)
    return model


def has_data(tensor: onnx.TensorProto) -> bool:
    """Whether any of the fields that may hold a tensor's elements is there; a tensor without elements needs none."""
    fields = {field.name for field, _ in tensor.ListFields()}
    return 0 in tensor.dims or bool(fields & _DATA) or tensor.data_location == onnx.TensorProto.EXTERNAL


_DATA = {"raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"}
