"""transformers' own ``OnnxExporter``: it knows names, caches, dynamic shapes and needed patches."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import onnx_ir as ir

from pytest_htp.capture.engines import EngineRequest
from pytest_htp.capture.engines.shapes import (
    auto_shapes,
    batch_of_two,
    bound_arguments,
    names_in,
    rename_axes,
    without_names,
)
from pytest_htp.capture.engines.torchlib import signatures_read_once
from pytest_htp.capture.provenance import ProvenanceObserver

if TYPE_CHECKING:
    from transformers.exporters import ExportQuantizer


def _watched(quantizer: ExportQuantizer, observer: ProvenanceObserver) -> ExportQuantizer:
    """A copy of the quantizer that keeps the ONNX graph it is given; one of the FX graph is left alone."""
    if quantizer.quantizes_fx_graph:
        return quantizer
    watched, original = copy.copy(quantizer), quantizer.quantize

    def quantize(model: ir.Model, *args: object, **kwargs: object) -> ir.Model:
        observer.provenance.unquantized = model.clone()
        quantized: ir.Model = original(model, *args, **kwargs)
        return quantized

    watched.quantize = quantize
    return watched


class TransformersEngine:
    """``transformers.exporters.OnnxExporter().export(model, inputs, OnnxConfig(…))``."""

    name = "transformers"

    def export(self, request: EngineRequest, observer: ProvenanceObserver) -> ir.Model:
        from transformers.exporters import OnnxConfig
        from transformers.exporters.exporter_onnx import OnnxExporter

        inputs: dict[str, object] = request.kwargs
        if request.args:
            inputs = bound_arguments(request.model, request.args, request.kwargs)
        shapes = request.dynamic_shapes
        if request.dynamic and shapes is None:
            inputs = dict(batch_of_two(inputs))
        if shapes is None and request.axis_names:
            shapes = auto_shapes(request.model, (), inputs, request.axis_names, every_axis=request.dynamic)
        # Older versions know fewer options: only what was asked for is passed on.
        asked: dict[str, object] = {"ort_fusions": request.ort_fusions} if request.ort_fusions is not None else {}
        if request.quantizer is not None:
            asked["quantizer"] = _watched(request.quantizer, observer)
        config = OnnxConfig(
            dynamic=request.dynamic or shapes is not None,
            dynamic_shapes=without_names(shapes),
            opset_version=request.opset_version,
            optimize=request.optimize,
            **asked,
        )
        with observer, signatures_read_once():
            # The exporter pops flags from the inputs and casts them; it gets a copy of its own.
            exported = OnnxExporter().export(request.model, copy.copy(inputs), config)
        # transformers 5.20 to 5.22 hand torch's ONNXProgram through.
        program: ir.Model = exported.program if hasattr(exported, "program") else exported.model
        names = names_in(shapes)
        if names:
            rename_axes(program, names)
        return program
