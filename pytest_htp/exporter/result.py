"""What an export gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_htp.vocabulary import HTPExportData

if TYPE_CHECKING:
    import onnx_ir as ir

    from pytest_htp.parity import ParityResult
    from pytest_htp.stages import StageFailure
    from pytest_htp.tagging.coverage import Coverage
    from pytest_htp.targets import HTPTarget


@dataclass
class HTPStage:
    """What one stage made of the export.

    Attributes:
        name: the stage's.
        onnx_path: its file, with tags embedded as in the export's.
        tags: node key → tag; untagged nodes are absent.
        coverage: shares of nodes by evidence.
        parity: PyTorch against ONNX Runtime running this file.
        attestation: as for the export, in the stage's precision.
        record: what a baseline stores of it.
        program: the tagged graph.
        seconds: how long the stage itself took.
        nodes: node key → ``{"op_type", "evidence", "rule", "origins", "stands_for", …}``.
        quality: module path → SQNR in dB against PyTorch; output_quality: graph output → the same.
        summary: what the stage did, in one line.
        notes: what it printed, logged and warned of.
    """

    name: str
    onnx_path: Path
    tags: dict[str, str]
    coverage: Coverage
    parity: ParityResult
    attestation: dict[str, Any]
    record: dict[str, Any]
    program: ir.Model
    seconds: float
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    output_quality: dict[str, float] = field(default_factory=dict)
    summary: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class HTPExport:
    """A finished export.

    Attributes:
        onnx_path: the saved model; external data, where there is any, lies beside it.
        metadata_path, report_path, console_path: the monitor's files.
        data: the monitor's data of all eight steps.
        metadata: the metadata as written.
        console: the console log as plain text.
        tags: node key → tag; untagged nodes are absent.
        coverage: shares of nodes by evidence, attributes as in the record.
        parity: PyTorch against ONNX Runtime; ``parity.measured`` is False, with a reason, where it was not run.
        attestation: ``{"attested", "contradicted", "unmatched"}``, or not measured with the reason.
        record: the description that a baseline stores.
        program: the tagged graph.
        sources: module path → operator → ``file.py:line`` of the user's code the exporter recorded, relative to the
            working directory; only files inside it.
        console_html: the console log in colour, as an HTML fragment.
        parameters: names of all parameters and buffers.
        targets: target name → what its compiler made of the last graph; empty if not asked for.
        quality, output_quality: of an export that is quantized itself (``quantizer=``, ``reference=``): SQNR in dB by
            module path and by output; empty otherwise.
        stages: what each stage made of it, in order; a stage that failed, and those behind it, are absent.
        stage_failure: the stage that ended the pipeline; None where all went well.
    """

    onnx_path: Path
    metadata_path: Path
    report_path: Path
    console_path: Path
    data: HTPExportData
    metadata: dict[str, Any]
    console: str
    tags: dict[str, str]
    coverage: Coverage
    parity: ParityResult
    attestation: dict[str, Any]
    record: dict[str, Any]
    program: ir.Model
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    console_html: str = ""
    parameters: tuple[str, ...] = ()
    quality: dict[str, float] = field(default_factory=dict)
    output_quality: dict[str, float] = field(default_factory=dict)
    targets: dict[str, HTPTarget] = field(default_factory=dict)
    stages: dict[str, HTPStage] = field(default_factory=dict)
    stage_failure: StageFailure | None = None
