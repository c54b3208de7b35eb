"""Real exports, each made once; what an exporter returned can be edited as a regression would have."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx_ir as ir
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.capture.engines import Engine, EngineRequest, select_engine
from pytest_htp.capture.provenance import Provenance, ProvenanceObserver
from tests.faults._models import built

Edit = Callable[[ir.Model], object]
Inputs = Mapping[str, torch.Tensor] | tuple[torch.Tensor, ...] | None


@dataclass(frozen=True)
class Export:
    """One export to make: what, with which inputs and options, and what to do to the exporter's result.

    ``edit`` runs on a copy of what the exporter returned: exports that differ only in it are made once.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[], Inputs] = lambda: None
    options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], object] | None = None
    edit: Edit | None = None

    def record(self) -> dict[str, Any]:
        with (
            tempfile.TemporaryDirectory() as folder,
            patch("pytest_htp.exporter.exporter.select_engine", self._engine),
        ):
            options = {"parity": False, **self.options}
            model = built(self.make, self.change)
            return HTPExporter(**options).export(model, self.inputs(), Path(folder) / "model.onnx").record

    def _engine(self, *args: Any, **kwargs: Any) -> Engine:
        options = tuple(sorted((key, repr(value)) for key, value in self.options.items() if key in _SHAPING))
        key = self.make, self.inputs, self.change, options
        return _EditedEngine(select_engine(*args, **kwargs), key, self.edit)


# Options that reach the exporter; others change only what is done with its result.
_SHAPING = ("exporter", "dynamic", "dynamic_shapes", "opset_version", "optimize")
_EXPORTED: dict[Any, tuple[ir.Model, Provenance]] = {}


class _EditedEngine:
    """The real engine; its result is kept, and edited on the way out."""

    def __init__(self, engine: Engine, key: Any, edit: Edit | None) -> None:
        self.name = engine.name
        self._engine, self._key, self._edit = engine, key, edit

    def export(self, request: EngineRequest, observer: ProvenanceObserver) -> ir.Model:
        if self._key not in _EXPORTED:
            _EXPORTED[self._key] = self._engine.export(request, observer), observer.provenance
        exported, observer.provenance = _EXPORTED[self._key]
        model = _copied(exported)
        if self._edit is not None:
            self._edit(model)
        return model


def _copied(exported: ir.Model) -> ir.Model:
    """A copy that shares nothing an edit changes: ``clone`` shares the types, which change in place."""
    model = exported.clone()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in (*node.inputs, *node.outputs):
            if value is not None:
                value.type = copy.copy(value.type)
    return model
