"""What an export gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_htp.exporter.graph import Graph
from pytest_htp.parity.result import ParityResult
from pytest_htp.stages import StageFailure
from pytest_htp.tagging.coverage import Coverage
from pytest_htp.targets import HTPTarget
from pytest_htp.vocabulary import HTPExportData

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(kw_only=True)
class ExportedGraph:
    """One ONNX file and what is known of it: an export's, or a stage's.

    Attributes:
        onnx_path: the saved model with its tags; external data, where there is any, lies beside it.
        tags: node key → tag; untagged nodes are absent.
        coverage: shares of nodes by evidence, attributes as in the record.
        parity: PyTorch against ONNX Runtime; ``parity.measured`` is False, with a reason, where it was not run.
        record: what a baseline stores of it.
        graph: holds the tagged graph, :attr:`program`.
        quality: module path → SQNR in dB against PyTorch: of a stage, and of an export that is quantized itself
            (``quantizer=``, ``reference=``); output_quality: graph output → the same.
    """

    onnx_path: Path
    tags: dict[str, str]
    coverage: Coverage
    parity: ParityResult
    record: dict[str, Any]
    graph: Graph
    quality: dict[str, float] = field(default_factory=dict)
    output_quality: dict[str, float] = field(default_factory=dict)

    @property
    def program(self) -> ir.Model:
        """The tagged graph; of an export from the cache it is read when it is first asked for."""
        return self.graph.model

    @property
    def attestation(self) -> dict[str, Any]:
        """``{"attested", "contradicted", "unmatched"}``, in a stage's precision, or not measured with the reason."""
        return self.parity.attestation


@dataclass(kw_only=True)
class HTPStage(ExportedGraph):
    """What one stage made of the export.

    Attributes:
        name: the stage's.
        seconds: how long the stage itself took.
        nodes: node key → ``{"op_type", "evidence", "rule", "origins", "stands_for", …}``.
        summary: what the stage did, in one line.
        notes: what it printed, logged and warned of.
    """

    name: str
    seconds: float
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class HTPExport(ExportedGraph):
    """A finished export.

    Attributes:
        metadata_path, report_path, console_path: the monitor's files.
        data: the monitor's data of all eight steps.
        metadata: the metadata as written.
        console: the console log as plain text.
        sources: module path → operator → ``file.py:line`` of the user's code the exporter recorded, relative to the
            working directory; only files inside it.
        console_html: the console log in colour, as an HTML fragment.
        parameters: names of all parameters and buffers.
        targets: target name → what its compiler made of the last graph; empty if not asked for.
        stages: what each stage made of it, in order; a stage that failed, and those behind it, are absent.
        stage_failure: the stage that ended the pipeline; None where all went well.
    """

    metadata_path: Path
    report_path: Path
    console_path: Path
    data: HTPExportData
    metadata: dict[str, Any]
    console: str
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    console_html: str = ""
    parameters: tuple[str, ...] = ()
    targets: dict[str, HTPTarget] = field(default_factory=dict)
    stages: dict[str, HTPStage] = field(default_factory=dict)
    stage_failure: StageFailure | None = None
