"""``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch

from pytest_htp.capture.engines import EngineRequest
from pytest_htp.capture.engines.shapes import auto_shapes
from pytest_htp.capture.engines.torchlib import signatures_read_once
from pytest_htp.capture.provenance import ProvenanceObserver


class TorchEngine:
    """torch's own exporter, called the way its documentation does."""

    name = "torch"

    def export(self, request: EngineRequest, observer: ProvenanceObserver) -> ir.Model:
        dynamic_shapes = request.dynamic_shapes
        if dynamic_shapes is None and (request.dynamic or request.axis_names):
            dynamic_shapes = auto_shapes(
                request.model, request.args, request.kwargs, request.axis_names, every_axis=request.dynamic
            )
        args = request.args
        if args and isinstance(args[-1], dict) and not request.kwargs:
            args = (*args, {})  # torch takes a dict in the last place for the keyword arguments
        # Only what was asked for is passed on: a user may have put more into torch.onnx.export with functools.partial.
        asked: Any = {"custom_translation_table": dict(request.translations)} if request.translations else {}
        with observer, signatures_read_once():
            program = torch.onnx.export(
                request.model,
                args,
                kwargs=request.kwargs or None,
                dynamo=True,
                verbose=False,
                dynamic_shapes=dynamic_shapes,
                opset_version=request.opset_version,
                optimize=request.optimize,
                **asked,
            )
        if program is None:  # only the TorchScript exporter returns None
            raise RuntimeError("torch.onnx.export returned no program")
        return program.model
