"""Is the saved file a valid ONNX model, and what was asked for? onnx's own full check, and the module behind what it
finds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import helper

from pytest_htp.tagging.named import described, node_named_in
from pytest_htp.tagging.tagger import Tagging


class InvalidModel(RuntimeError):
    """onnx refuses the file; the message names node and module where onnx names a node."""


def check_saved(path: Path, tagging: Tagging, *, structure_only: bool = False) -> None:
    """Run ``onnx.checker.check_model(full_check=True)`` on a file of any size: operators, attributes, types, shapes.

    Args:
        path: the ``.onnx`` file.
        tagging: of the graph in the file.
        structure_only: the file lacks its weights, which onnx takes for a fault; they count as inputs of their type
            and shape then.

    Raises:
        InvalidModel: the file is not valid.
    """
    try:
        if structure_only:
            onnx.checker.check_model(_weights_as_inputs(onnx.load(path)), full_check=True)
        else:
            onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        text = " ".join(str(error).replace("==> Context:", "").split())
        facts = node_named_in(text, tagging)
        where = f", {described(facts, tagging)}" if facts is not None else ""
        raise InvalidModel(f"the exported graph is not valid ONNX{where}: {text}") from error


def warn_of_another_opset(asked: int | None, written: Mapping[str, int]) -> None:
    """Exporters leave a graph that they can't convert as it was, without a word.

    Args:
        asked: the option ``opset_version``.
        written: domain → version of the file.
    """
    if asked not in (None, written.get("")):
        warnings.warn(
            f"opset_version={asked} was asked for, the exporter wrote opset {written.get('')}: it can't convert this "
            "graph",
            RuntimeWarning,
            stacklevel=4,
        )


def _weights_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    stored = [tensor for tensor in graph.initializer if _has_data(tensor)]
    known = {value.name for value in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if not _has_data(tensor) and tensor.name not in known
    )
    del graph.initializer[:]
    graph.initializer.extend(stored)
    return model


def _has_data(tensor: onnx.TensorProto) -> bool:
    """Whether any of the fields that may hold a tensor's elements is there; a tensor without elements needs none."""
    fields = {field.name for field, _ in tensor.ListFields()}
    return 0 in tensor.dims or bool(fields & _DATA) or tensor.data_location == onnx.TensorProto.EXTERNAL


_DATA = {"raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"}
