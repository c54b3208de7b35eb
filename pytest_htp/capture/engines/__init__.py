"""The exporters that make the graph, torch.onnx and transformers' own: used as they are, only watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import onnx_ir as ir
from torch import nn

from pytest_htp.capture.kinds import is_transformers_model
from pytest_htp.capture.provenance import ProvenanceObserver

if TYPE_CHECKING:
    from transformers.exporters import ExportQuantizer


@dataclass(frozen=True)
class EngineRequest:
    """What an engine needs to know: the model in eval mode, its inputs, and the options that shape the graph.

    ``translations`` are torch operators with the user's own ONNX functions for them. ``axis_names`` maps an
    input's name to ``{axis: name}``: dynamic axes whose names the user chose. ``quantizer`` is one of transformers'.
    """

    model: nn.Module
    args: tuple[object, ...]
    kwargs: dict[str, object]
    dynamic: bool = False
    dynamic_shapes: dict[str, object] | tuple[object, ...] | list[object] | None = None
    opset_version: int | None = None
    optimize: bool = True
    ort_fusions: str | None = None
    axis_names: Mapping[str, Mapping[int, str]] | None = None
    translations: Mapping[Callable[..., object], object] | None = None
    quantizer: ExportQuantizer | None = None


class Engine(Protocol):
    """Turns a request into an ONNX graph inside an observer's context; raises what the exporter raises."""

    name: str

    def export(self, request: EngineRequest, observer: ProvenanceObserver) -> ir.Model:
        """Export inside of the observer's context; the graph's nodes carry its marks."""


def select_engine(
    name: str, model: nn.Module, *, ort_fusions: str | None = None, quantizer: ExportQuantizer | None = None
) -> Engine:
    """The engine for ``exporter="auto" | "transformers" | "torch"``.

    Raises:
        HTPUsageError: ``"transformers"`` (or ``ort_fusions``, ``quantizer``) for a model that is none of transformers'.
    """
    from pytest_htp.capture.engines.torch_engine import TorchEngine
    from pytest_htp.capture.engines.transformers_engine import TransformersEngine
    from pytest_htp.errors import HTPUsageError

    fits = is_transformers_model(model)
    if (name == "transformers" or ort_fusions or quantizer is not None) and not fits:
        asked = "exporter='transformers'" if name == "transformers" else f"ort_fusions={ort_fusions!r}"
        asked = asked if quantizer is None else f"quantizer={type(quantizer).__name__}(…)"
        raise HTPUsageError(
            f"{asked} needs a transformers PreTrainedModel, got {type(model).__name__}; "
            "use exporter='torch' (or 'auto') for other modules"
        )
    if name == "transformers" or (name == "auto" and fits):
        return TransformersEngine()
    return TorchEngine()
