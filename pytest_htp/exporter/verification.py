"""Step 8: the saved graph is held against PyTorch and described; its stages and targets are made and described too."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed

from msgspec.structs import replace
from onnx_ir.tensor_adapters import TorchTensor

from pytest_htp.capture.parameters import tables_of_code
from pytest_htp.describe.build import build_record, describe_graph
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.exporter.staging import StagesResult, against_twin, precision_of, run_stages, within_precision
from pytest_htp.exporter.twin import values_in_twin
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import ModelRow, Record
from pytest_htp.format.serialize import dict_of
from pytest_htp.parity.further import derived_sets, given_sets
from pytest_htp.parity.measure import measure_parity, parity_unavailable
from pytest_htp.parity.result import InputSet, ParityResult
from pytest_htp.quality import Quality, StageMeasurement, measure_quality, measure_stage
from pytest_htp.targets import HTPTarget
from pytest_htp.targets.run import compile_targets


@dataclass(frozen=True)
class Verified:
    """What the export is worth: measured, described, and made into what ships."""

    parity: ParityResult
    quality: Quality
    record: dict[str, object]
    staged: StagesResult
    targets: dict[str, HTPTarget]


def verify(exported: Exported) -> Verified:
    """Measure parity, describe the graph, run the stages and compile for the targets."""
    measured = _measured(exported)
    parity = measured.parity
    exported.data.parity = parity.to_dict()
    exported.data.attestation = parity.attestation
    record = _described(exported, measured)
    staged = run_stages(exported, parity)
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
    request = changed(
        exported.to_measure(exported.path, exported.program, exported.tagging), extra_inputs=_further_inputs(exported)
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
    graph = describe_graph(
        exported.tagging,
        parameters=exported.parameters,
        tables={name: TorchTensor(buffer, name=name) for name, buffer in tables_of_code(exported.model).items()},
        real_weights=exported.real_weights,
        named_outputs=exported.named_outputs,
        attestation=parity.attestation_record(),
        parity=within_precision(found, exported.program) if options.quantizer is not None else found,
    )
    model = ModelRow(
        class_name=data.model_class,
        exporter=data.exporter,
        modules=len(exported.tagging.graph.modules),
        executed=sum(len(expand_pattern(row.path)) for row in graph.modules if row.calls),
        parameters=data.total_parameters,
    )
    quality = measured.quality.to_row() if measured.quality.measured else None
    return build_record(graph, model, data.environment, unobserved=data.unobserved, quality=quality)


def _compiled(exported: Exported, staged: StagesResult) -> dict[str, HTPTarget]:
    options = exported.options
    if staged.failure is not None:
        return {}  # the graph that was to be compiled was not made
    path, tagging = exported.path, exported.tagging
    if staged.last is not None:
        path, tagging = next(reversed(staged.stages.values())).onnx_path, staged.last
    return compile_targets(path, tagging, options.targets, timeout=options.target_timeout)
