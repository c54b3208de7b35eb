"""Is the saved file a valid ONNX model, and what was asked for? onnx's own full check, and the module behind what it
finds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx

from pytest_htp.capture.valid import check_model
from pytest_htp.tagging.named import described, node_named_in
from pytest_htp.tagging.tagger import Tagging


class InvalidModel(RuntimeError):
    """onnx refuses the file; the message names node and module where onnx names a node."""


def check_saved(path: Path, tagging: Tagging, *, structure_only: bool = False) -> None:
    """Run ``onnx.checker.check_model(full_check=True)`` on a file of any size: operators, attributes, types, shapes.

    Args:
        path: the ``.onnx`` file.
        tagging: of the graph in the file.
        structure_only: the file lacks its weights.

    Raises:
        InvalidModel: the file is not valid.
    """
    try:
        check_model(path, structure_only=structure_only)
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
