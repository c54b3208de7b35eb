"""The stages of an export, one after the other: run, tags carried, checked, described."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir as ir
import torch
from msgspec import structs

from pytest_htp.capture.hierarchy import Hierarchy
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.marks import all_nodes
from pytest_htp.carry import carry
from pytest_htp.carry.types import complete_types
from pytest_htp.carry.values import Samples, equal_values
from pytest_htp.describe.build import describe_graph
from pytest_htp.errors import HTPUsageError
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.graph import Graph, remove_model
from pytest_htp.exporter.result import HTPStage
from pytest_htp.exporter.save import save_model
from pytest_htp.exporter.twin import values_in_twin
from pytest_htp.format.record import ParityRow, StageRecord
from pytest_htp.format.serialize import dict_of
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.refusals import RuntimeRefused
from pytest_htp.parity.result import ParityResult
from pytest_htp.quality import Quality, QualityRequest, StageMeasurement, measure_quality, measure_stage
from pytest_htp.stages import Stage, StageFailure, run_stage
from pytest_htp.stages.portable import portable_model
from pytest_htp.stages.stage import CALIBRATED, name_of, slug
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.embed import embed_tags, strip_tags
from pytest_htp.tagging.tagger import Tagging

if TYPE_CHECKING:
    from pytest_htp.stages.built_in import Feed

# Quantized values are within a few percent of their scale; a coarser match has too many candidates to be one.
_SAME_VALUE = 2e-2


# ONNX's quantized operators and ONNX Runtime's (docs/ContribOperators.md): QuantizeLinear, MatMulInteger, QLinearConv,
# QAttention, DequantizeLinear (alone where only weights are quantized), DynamicQuantizeMatMul, MatMulNBits, …
_QUANTIZED = re.compile(r"^Q[A-Z]|[Qq]uantize|Integer|NBits")


@dataclass
class StagesResult:
    """The stages that left a file, in order, and the failure that ended the pipeline, if one did.

    ``records`` are theirs, ``last`` is the tagging of the last one; ``described`` has one JSON-able entry per stage
    asked for, for metadata and reports.
    """

    stages: dict[str, HTPStage] = field(default_factory=dict)
    failure: StageFailure | None = None
    described: list[dict[str, Any]] = field(default_factory=list)
    records: list[StageRecord] = field(default_factory=list)
    last: Tagging | None = None


def run_stages(exported: Exported, parity: ParityResult) -> StagesResult:
    """Run every stage on the file of the one before; the first failure ends the pipeline, and is no exception.

    A stage's file goes beside the export's (``model.ort-basic.onnx``).

    Args:
        exported: what the stages start from, and are checked against.
        parity: of the export; where it was not measured, nothing of a stage is.
    """
    result = StagesResult()
    source, before = exported.path, exported.tagging
    for stage in exported.options.stages:
        name = name_of(stage)
        destination = exported.path.with_name(f"{exported.path.stem}.{slug(name)}.onnx")
        if result.failure is not None:
            result.described.append({"name": name, "status": "skipped"})
            continue
        try:
            made, before, record = _one(exported, parity, stage, source, before, destination)
        except StageFailure as failure:
            result.failure = failure
            result.described.append(
                {
                    "name": name,
                    "status": "failed",
                    "seconds": failure.seconds,
                    "message": str(failure),
                    **({"notes": failure.notes} if failure.notes else {}),
                }
            )
            continue
        result.stages[name], result.last = made, before
        result.records.append(record)
        result.described.append(described(made))
        source = destination
    return result


def _one(
    exported: Exported, known: ParityResult, stage: str | Stage, source: Path, before: Tagging, destination: Path
) -> tuple[HTPStage, Tagging, StageRecord]:
    name = name_of(stage)
    try:
        calibration = _calibration(exported) if name == CALIBRATED else []
    except HTPUsageError as error:
        raise StageFailure(name, f"stage {name} failed: {error}") from error
    run = run_stage(
        stage,
        source,
        destination,
        calibration=calibration,
        extensions=exported.extensions,
        structure_only=not exported.real_weights,
    )
    foreign = False
    try:
        program = ir.load(destination)
        complete_types(program)
        tagging = carry(before, program)
        foreign = not tagging.tags
        if tagging.coverage.none and known.measured:
            tagging = carry(before, program, values=_equal_values(exported, source, before, destination, program))
        strip_tags(program, exported.options.tag_namespace)
        if exported.options.embed_hierarchy_attributes:
            embed_tags(tagging, exported.options.tag_namespace)
        save_model(
            program,
            destination,
            structure_only=not exported.real_weights,
            parameters=set(exported.shared_names),
            external=None if exported.real_weights else False,
        )
        measured = _measured(exported, known, destination, program, tagging)
        parity, quality = measured.parity, measured.quality
        record = _record(exported, name, source, before, tagging, measured)
    except Exception as error:
        remove_model(destination)
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if isinstance(error, RuntimeRefused):
            said += "; if it is meant for another runtime, parity=False keeps it, with tags and without checks"
        if foreign:
            said += "; no node could be led back to a module: was this made of the export?"
        raise StageFailure(
            name,
            f"stage {name} failed: it left a model that can't be used: {said}",
            seconds=run.seconds,
            notes=run.notes,
        ) from error
    made = HTPStage(
        name=name,
        onnx_path=destination,
        tags=tagging.tags,
        coverage=tagging.coverage,
        parity=parity,
        record=dict_of(record),
        graph=Graph(program),
        seconds=run.seconds,
        nodes=tagging.details,
        quality=quality.modules,
        output_quality=quality.outputs,
        summary=summary(before, tagging),
        notes=run.notes,
    )
    return made, tagging, record


def _calibration(exported: Exported) -> list[Feed]:
    """Samples for static quantization: graph input → array."""
    options, program = exported.options, exported.program
    if options.calibration is None:
        return [_arrays(match_inputs(program, exported.inputs.named))]
    samples = []
    for number, inputs in enumerate(options.calibration, start=1):
        try:
            prepared = make_inputs(exported.model, inputs, seed=options.seed)
            samples.append(_arrays(match_inputs(program, prepared.named)))
        except HTPUsageError as error:
            raise HTPUsageError(f"calibration, set {number}: {error}") from error
    return samples


def _arrays(feeds: Mapping[str, torch.Tensor]) -> Feed:
    return {name: tensor.detach().cpu().numpy() for name, tensor in feeds.items()}


def _equal_values(
    exported: Exported, source: Path, before: Tagging, destination: Path, program: ir.Model
) -> dict[str, str]:
    """Values of the stage's graph that equal one of the graph before, where names did not lead on."""
    from pytest_htp.parity.session import ValueSession  # onnxruntime is an optional dependency

    samples = []
    for path, model in ((source, before.graph.model), (destination, program)):
        names = {value.name: 0 for node in model.graph for value in node.outputs if value.name}
        asked = exported.to_measure(path, model, before)
        session = ValueSession(path, names, asked.providers, extensions=asked.extensions)
        run = session.run(match_inputs(model, asked.inputs))
        samples.append(Samples((name, tensor.float().numpy()) for name, tensor in run if tensor.is_floating_point()))
    return equal_values(*samples, tolerance=_SAME_VALUE)


def _measured(
    exported: Exported, known: ParityResult, path: Path, program: ir.Model, tagging: Tagging
) -> StageMeasurement:
    if not known.measured:
        reason = known.reason or ""
        return StageMeasurement(ParityResult.not_measured(reason), Quality.not_measured(reason))
    asked = replace(
        exported.to_measure(path, program, tagging),
        precision=precision_of(program),
        values=known.values,
        export=exported.program,
        reasons=known.unmatched,
    )
    if exported.twin is None:
        return measure_stage(asked)
    values = values_in_twin(known.values, exported.hierarchy, exported.twin)
    return replace(measure_stage(asked), quality=measure_quality(against_twin(asked, exported.twin, values)))


def against_twin(request: QualityRequest, twin: Hierarchy, values: Mapping[int, tuple[str, ...]]) -> QualityRequest:
    """The same graph held against another model's pass; ``values`` are those that its tensors are."""
    return replace(request, hierarchy=twin, values=values, extra_inputs=(), precision="int8")


def within_precision(parity: ParityRow, program: ir.Model) -> ParityRow:
    """How far quantization may be off is nothing a tolerance can say: its quality is compared, in dB."""
    if precision_of(program) != "int8":
        return parity
    return structs.replace(parity, failed=[], failed_on=[], first_divergence=None, divergence=None)


def precision_of(program: ir.Model) -> Literal["float16", "int8"] | None:
    """What a graph computes in, where that is coarser than what PyTorch did, by its operators and types, since a
    stage of the user's own may quantize as well.
    """
    nodes = list(all_nodes(program))
    if any(_QUANTIZED.search(node.op_type) for node in nodes):
        return "int8"
    halves = any(
        value.dtype is ir.DataType.FLOAT16 for node in nodes for value in (*node.inputs, *node.outputs) if value
    )
    return "float16" if halves else None


def _record(
    exported: Exported, name: str, source: Path, before: Tagging, tagging: Tagging, measured: StageMeasurement
) -> StageRecord:
    """The record of a stage. Where the stage wrote what depends on this machine, the record describes what it gives
    without that.
    """
    parity = within_precision(measured.parity.to_record(), tagging.graph.model)
    if not tagging.tags:  # made of something else: which module's fault its values are is no question
        parity = structs.replace(parity, first_divergence=None, divergence=None)
    outputs = enumerate(tagging.graph.model.graph.outputs)
    names = {} if exported.named_outputs else {value.name or "": f"output.{place}" for place, value in outputs}
    portable = portable_model(name, source, tagging.graph.model, exported.extensions)
    if portable is not None:
        complete_types(portable)
        tagging = carry(before, portable)
    graph = describe_graph(
        tagging,
        parameters=exported.parameters,
        real_weights=exported.real_weights,
        named_outputs=exported.named_outputs,
        attestation=measured.parity.attestation_record(),
        parity=parity,
    )
    quality = measured.quality.to_row(names) if measured.quality.measured else None
    return StageRecord(**structs.asdict(graph), name=name, quality=quality)


def described(stage: HTPStage) -> dict[str, Any]:
    """A stage for metadata and reports, JSON-able; numbers as measured."""
    return {
        "name": stage.name,
        "status": "completed",
        "seconds": stage.seconds,
        "file": stage.onnx_path.name,
        "summary": stage.summary,
        "tagging_stats": stage.coverage.to_dict(),
        "parity": stage.parity.to_dict(),
        "attestation": stage.attestation,
        **({"quality": {"modules": stage.quality, "outputs": stage.output_quality}} if stage.quality else {}),
        **({"notes": stage.notes} if stage.notes else {}),
    }


def summary(before: Tagging, after: Tagging) -> str:
    """What a stage did, in one line: ``4 Add + LayerNormalization → SkipLayerNormalization; 24 Reshape inserted;
    0 nodes without a module``.
    """
    operators = {facts.key: facts.node.op_type for facts in before.nodes}
    replaced: Counter[str] = Counter()
    inserted: Counter[str] = Counter()
    for facts in after.nodes:
        originals = [operators[key] for key in facts.stands_for]
        if len(originals) > 1 or (originals and originals != [facts.node.op_type]):
            replaced[f"{' + '.join(originals)} → {facts.node.op_type}"] += 1
        elif not originals and facts.evidence is Evidence.INFERRED:
            inserted[facts.node.op_type] += 1
    parts = [f"{count} {text}" for text, count in _largest(replaced)]
    parts += [f"{count} {text} inserted" for text, count in _largest(inserted)]
    nodes = f"{len(before.nodes)} → {len(after.nodes)} nodes"
    causes = Counter(facts.cause or "" for facts in after.nodes if facts.path is None)
    why = next(iter(causes), "") if len(causes) == 1 else ", ".join(f"{n} {cause}" for cause, n in _largest(causes))
    return "; ".join([nodes, *parts, f"{causes.total()} without a module{f' ({why})' if why else ''}"])


def _largest(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:6]


def moved_to(stage: HTPStage, folder: Path) -> HTPStage:
    """The same stage with its file written into ``folder``."""
    path = folder / stage.onnx_path.name
    save_model(stage.program, path, structure_only=not stage.record["weights"]["kept"], parameters=set())
    return replace(stage, onnx_path=path)
