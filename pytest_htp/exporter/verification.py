"""Step 8: the saved graph is held against PyTorch and described; its stages and targets are made and described too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from os import fspath
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from msgspec.structs import replace

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.inputs import PreparedInputs, make_inputs
from pytest_htp.capture.parameters import distinct_parameters
from pytest_htp.describe.build import RecordSource, build_record
from pytest_htp.errors import HTPUsageError
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.exporter.staging import (
    StagesRequest,
    StagesResult,
    against_twin,
    precision_of,
    run_stages,
    within_precision,
)
from pytest_htp.exporter.twin import values_in_twin
from pytest_htp.format.record import Record
from pytest_htp.format.serialize import dict_of
from pytest_htp.parity import (
    InputSet,
    ParityResult,
    derived_sets,
    given_sets,
    measure_parity,
    parity_unavailable,
)
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.quality import Quality, QualityRequest, StageMeasurement, measure_quality, measure_stage
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets import HTPTarget
from pytest_htp.targets.run import compile_targets
from pytest_htp.vocabulary import HTPExportData


@dataclass(frozen=True)
class Exported:
    """What steps 1 to 7 made; ``data`` is told what this step finds.

    Attributes:
        twin: of ``reference=``, watched; None where there is none or nothing is compared.
        path: the saved file of ``program``.
        shared_names: of the model's parameters, each name of a shared one.
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


@dataclass(frozen=True)
class Verified:
    """What the export is worth: measured, described, and made into what ships."""

    parity: ParityResult
    quality: Quality
    record: dict[str, Any]
    staged: StagesResult
    targets: dict[str, HTPTarget]


def verify(exported: Exported) -> Verified:
    """Measure parity, describe the graph, run the stages and compile for the targets."""
    measured = _measured(exported)
    parity = measured.parity
    exported.data.parity = parity.to_dict()
    exported.data.attestation = parity.attestation
    record = _described(exported, measured)
    staged = _staged(exported, parity)
    exported.data.stages = staged.described
    targets = _compiled(exported, staged)
    exported.data.targets = {name: target.summary() for name, target in targets.items()}
    record = replace(record, stages=staged.records, targets=[target.record for target in targets.values()])
    return Verified(parity, measured.quality, dict_of(record), staged, targets)


def parity_reason(options: ExportOptions) -> str | None:
    """Why parity is not measured, or None where it is."""
    if options.weights == "none":
        return "the export has no weights"
    if not options.parity:
        return "parity was switched off"
    return parity_unavailable()


def _measured(exported: Exported) -> StageMeasurement:
    """Parity; and quality, where the export itself is quantized."""
    options, unwatched = exported.options, exported.hierarchy.unwatched
    reason = parity_reason(options)
    if reason is None and unwatched is not None:
        reason = f"the forward pass could not be watched ({type(unwatched).__name__})"
    if reason is not None:
        return StageMeasurement(ParityResult.not_measured(reason), Quality.not_measured(reason))
    request = QualityRequest(
        onnx_path=exported.path,
        program=exported.program,
        inputs=exported.inputs.named,
        hierarchy=exported.hierarchy,
        tagging=exported.tagging,
        rtol=options.rtol,
        atol=options.atol,
        providers=options.providers,
        extensions=[fspath(library) for library in options.ort_extensions],
        extra_inputs=_further_inputs(exported),
    )
    if options.quantizer is not None:
        return measure_stage(changed(request, precision=precision_of(exported.program)))
    parity = measure_parity(request)
    if exported.twin is None or not parity.measured:
        return StageMeasurement(parity, Quality.not_measured(parity.reason or ""))
    values = values_in_twin(parity.values, exported.hierarchy, exported.twin)
    return StageMeasurement(parity, measure_quality(against_twin(request, exported.twin, values)))


def _further_inputs(exported: Exported) -> list[InputSet]:
    model, options = exported.model, exported.options
    given = given_sets(model, options.parity_inputs, seed=options.seed)
    return [*given, *derived_sets(model, exported.inputs, exported.hierarchy.result, exported.program)]


def _described(exported: Exported, measured: StageMeasurement) -> Record:
    data, parity, options = exported.data, measured.parity, exported.options
    found = parity.to_record()
    record = build_record(
        RecordSource(
            tagging=exported.tagging,
            model_class=data.model_class,
            exporter=data.exporter,
            output_names=options.output_names,
            total_parameters=data.total_parameters,
            parameters=distinct_parameters(exported.model),
            toolchain=data.environment,
            unobserved=data.unobserved,
            real_weights=options.weights == "real",
            attestation=parity.attestation_record(),
            parity=within_precision(found, exported.program) if options.quantizer is not None else found,
        )
    )
    return replace(record, quality=measured.quality.to_row()) if measured.quality.measured else record


def _staged(exported: Exported, parity: ParityResult) -> StagesResult:
    options = exported.options
    if not options.stages:
        return StagesResult()
    return run_stages(
        StagesRequest(
            stages=options.stages,
            path=exported.path,
            tagging=exported.tagging,
            hierarchy=exported.hierarchy,
            inputs=exported.inputs.named,
            parameters=distinct_parameters(exported.model),
            shared_names=exported.shared_names,
            calibration=lambda: _calibration(exported),
            parity_reason=None if parity.measured else parity.reason,
            real_weights=options.weights == "real",
            named_outputs=exported.data.exporter != "torch"
            or len(options.output_names) == len(exported.program.graph.outputs),
            namespace=options.tag_namespace,
            embed=options.embed_hierarchy_attributes,
            rtol=options.rtol,
            atol=options.atol,
            providers=options.providers,
            extensions=[fspath(library) for library in options.ort_extensions],
            values=parity.values,
            twin=exported.twin,
        )
    )


def _calibration(exported: Exported) -> list[dict[str, Any]]:
    """Samples for static quantization: graph input → array."""
    options = exported.options
    if options.calibration is None:
        return [_arrays(match_inputs(exported.program, exported.inputs.named))]
    samples = []
    for number, inputs in enumerate(options.calibration, start=1):
        try:
            prepared = make_inputs(exported.model, inputs, seed=options.seed)
            samples.append(_arrays(match_inputs(exported.program, prepared.named)))
        except HTPUsageError as error:
            raise HTPUsageError(f"calibration, set {number}: {error}") from error
    return samples


def _arrays(feeds: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in feeds.items()}


def _compiled(exported: Exported, staged: StagesResult) -> dict[str, HTPTarget]:
    options = exported.options
    if staged.failure is not None:
        return {}  # the graph that was to be compiled was not made
    path, tagging = exported.path, exported.tagging
    if staged.last is not None:
        path, tagging = next(reversed(staged.stages.values())).onnx_path, staged.last
    return compile_targets(path, tagging, options.targets, timeout=options.target_timeout)
