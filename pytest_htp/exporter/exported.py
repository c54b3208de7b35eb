"""What steps 1 to 7 made: the last step checks and describes it, and makes its stages and targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import fspath
from pathlib import Path

import onnx_ir as ir
import torch

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.inputs.prepare import PreparedInputs
from pytest_htp.capture.parameters import distinct_parameters
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.quality import QualityRequest
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.vocabulary import HTPExportData


@dataclass(frozen=True)
class Exported:
    """An export that is saved and tagged.

    Attributes:
        twin: of ``reference=``, watched; None where there is none or nothing is compared.
        path: the saved file of ``program``.
        shared_names: of the model's parameters, each name of a shared one.
        data: gets what the last step finds.
    """

    options: ExportOptions
    model: torch.nn.Module
    inputs: PreparedInputs
    hierarchy: Hierarchy
    twin: Hierarchy | None
    path: Path
    program: ir.Model
    tagging: Tagging
    shared_names: frozenset[str]
    data: HTPExportData

    @cached_property
    def parameters(self) -> Mapping[str, tuple[str, int, int]]:
        """As :func:`pytest_htp.capture.parameters.distinct_parameters` has them."""
        return distinct_parameters(self.model)

    @property
    def real_weights(self) -> bool:
        """Whether the graph's weights hold values."""
        return self.options.weights == "real"

    @property
    def named_outputs(self) -> bool:
        """Whether the outputs' names were chosen: torch.onnx calls one after the FX node that makes it, unless told."""
        return self.data.exporter != "torch" or len(self.options.output_names) == len(self.program.graph.outputs)

    @property
    def extensions(self) -> list[str]:
        """Paths of libraries that register further operators with ONNX Runtime."""
        return [fspath(library) for library in self.options.ort_extensions]

    def to_measure(self, path: Path, program: ir.Model, tagging: Tagging) -> QualityRequest:
        """A file, the export's or one made of it, to be held against the watched pass."""
        options = self.options
        return QualityRequest(
            onnx_path=path,
            program=program,
            inputs=self.inputs.named,
            hierarchy=self.hierarchy,
            tagging=tagging,
            rtol=options.rtol,
            atol=options.atol,
            providers=options.providers,
            extensions=self.extensions,
        )
