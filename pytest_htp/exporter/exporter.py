"""``HTPExporter``: the eight steps of a monitored export, readable as a table of contents."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
from onnx_ir.tensor_adapters import from_torch_dtype
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from pytest_htp.capture.compiled import uncompiled
from pytest_htp.capture.engines import EngineRequest, select_engine
from pytest_htp.capture.engines.names import name_values
from pytest_htp.capture.engines.shapes import check_axes
from pytest_htp.capture.hierarchy import (
    Hierarchy,
    NamingRule,
    class_name_of,
    module_table,
    name_modules,
    watch_forward,
)
from pytest_htp.capture.inputs.prepare import PreparedInputs, make_inputs
from pytest_htp.capture.matching import linear_matching
from pytest_htp.capture.models import ResolvedModel, resolve_model
from pytest_htp.capture.parameters import shared_parameters
from pytest_htp.capture.provenance import ProvenanceObserver
from pytest_htp.capture.shapes import shapes_only
from pytest_htp.capture.state import preserved, put_back, to_eval_mode
from pytest_htp.capture.weightless import weightless
from pytest_htp.cycles import loaded_set_aside
from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.graph import Graph, remove_model
from pytest_htp.exporter.keywords import ExportKeywords
from pytest_htp.exporter.options import ExportOptions
from pytest_htp.exporter.place import Place, left_over_fake, place_of
from pytest_htp.exporter.result import HTPExport
from pytest_htp.exporter.save import SavedModel, save_model
from pytest_htp.exporter.steps import StepRunner, refused_path
from pytest_htp.exporter.tags import tagged
from pytest_htp.exporter.toolchain import toolchain_versions
from pytest_htp.exporter.twin import watch_twin
from pytest_htp.exporter.validity import check_saved, warn_of_another_opset
from pytest_htp.exporter.verification import Verified, parity_reason, verify
from pytest_htp.monitor.live import LiveProgress
from pytest_htp.monitor.monitor import HTPExportMonitor
from pytest_htp.tagging.embed import embed_tags, strip_tags
from pytest_htp.tagging.sources import source_lines
from pytest_htp.tagging.stacks import traced_calls
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

if TYPE_CHECKING:
    import onnx_ir as ir


# Exporters patch torch while they run, for the whole process: two at once in threads would undo each other's.
_ONE_AT_A_TIME = threading.RLock()


class HTPExporter:
    """Exports models with the eight monitored steps. See :class:`ExportOptions` for the keyword options.

    Args:
        progress: a live line to drive instead of one on standard error (drawn on a terminal only).
        module_name: chooses the names that tags give the modules' classes: module and path → name, or None for
            the class's own.

    Raises:
        HTPUsageError: an unknown option or a bad value.
    """

    def __init__(
        self,
        *,
        progress: LiveProgress | None = None,
        module_name: NamingRule | None = None,
        **options: Unpack[ExportKeywords],
    ) -> None:
        self.options = ExportOptions.from_mapping(options)
        self.options.require()
        self._progress = progress
        self._module_name = module_name

    def export(self, model: object, inputs: object = None, output_path: str | Path = "model.onnx") -> HTPExport:
        """Export ``model`` to ``output_path``.

        Args:
            model: an ``nn.Module``, a transformers model or config, a factory without arguments, or a saved folder.
            inputs: a mapping, a tuple, a tensor, or None to make them from the model's config and signature.
            output_path: the ``.onnx`` file; metadata, report and console log are written beside it.

        Raises:
            HTPExportError: a step failed; no ``.onnx`` is left behind, the monitor's files say what happened.
        """
        path = Path(output_path)
        if path.is_dir() or not path.name:
            raise refused_path(path)
        with _ONE_AT_A_TIME, loaded_set_aside(), self._progress or LiveProgress() as progress:
            return _Export(self.options, path, progress, self._module_name).run(model, inputs)


class _Export:
    """One run through the steps; each step's method fills in what the next ones need."""

    def __init__(
        self, options: ExportOptions, path: Path, progress: LiveProgress, module_name: NamingRule | None
    ) -> None:
        self.options = options
        self.module_name = module_name
        self.path = path
        self.data = HTPExportData(output_path=str(path), embed_hierarchy_attributes=options.embed_hierarchy_attributes)
        self.monitor = HTPExportMonitor(path, verbose=options.verbose, config=options.config)
        self.monitor.add_writer(progress)
        self.steps = StepRunner(
            self.data,
            on_start=lambda step, data: self.monitor.begin_step(step),
            on_done=lambda step, data: self.monitor.log_step(step, data),
        )
        self.model: torch.nn.Module
        self.inputs: PreparedInputs
        self.hierarchy: Hierarchy
        self.twin: Hierarchy | None = None
        self.program: ir.Model
        self.observer = ProvenanceObserver()
        self.tagging: Tagging
        self.saved: SavedModel
        self.verified: Verified

    def run(self, model: object, inputs: object) -> HTPExport:
        started = time.perf_counter()
        try:
            with self.steps.listening():
                with self.steps.step(HTPExportStep.MODEL_PREP):
                    self._prepare_model(model)
                with self._borrowed_model():
                    with self.steps.step(HTPExportStep.INPUT_GEN):
                        self._make_inputs(inputs)
                    with self.steps.step(HTPExportStep.HIERARCHY):
                        self._watch_hierarchy()
                    self._trace_and_export()  # HTPExportStep.TRACE and HTPExportStep.EXPORT
                    with self.steps.step(HTPExportStep.NODE_TAGGING):
                        self._tag_nodes()
                    with self.steps.step(HTPExportStep.SAVE):
                        self._save()
                    self.steps.start(HTPExportStep.COMPLETE)
                    self._verify_and_describe()
            self.data.export_time = time.perf_counter() - started
            self.steps.finish()
            warn_of_another_opset(self.options.opset_version, self.data.opset)
            files = self._written()
        except BaseException as error:
            self.data.export_time = time.perf_counter() - started
            failure = self._abandon(error)
            if failure is None:
                raise
            raise failure from error
        return self._result(files)

    # 1. model preparation

    def _prepare_model(self, model: object) -> None:
        options = self.options
        resolved = model if isinstance(model, ResolvedModel) else resolve_model(model, options.weights, options.seed)
        self.model = resolved.module
        self.engine = select_engine(
            self.options.exporter, self.model, ort_fusions=self.options.ort_fusions, quantizer=self.options.quantizer
        )
        if self.options.custom_translation_table and self.engine.name != "torch":
            raise HTPUsageError(
                f"option custom_translation_table works with torch's exporter, and {self.engine.name}'s is used here: "
                "add exporter='torch'"
            )
        self.data.model_name = resolved.name
        self.data.model_class = class_name_of(self.model)
        self.data.exporter = self.engine.name
        self.data.hierarchy = module_table(self.model)
        name_modules(self.data.hierarchy, self.model, self.module_name)
        self.data.total_modules = len(self.data.hierarchy)
        self.data.total_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.data.environment = toolchain_versions(
            transformers=self.engine.name == "transformers",
            onnxruntime=bool(self.options.stages),
            further=[package for target in self.options.targets for package in target.distributions],
        )

    @contextmanager
    def _borrowed_model(self) -> Iterator[None]:
        """The model in eval mode, without weights where asked; it comes back as it was given."""
        with ExitStack() as stack:
            stack.enter_context(preserved(self.model))
            if self.options.weights == "none":
                stack.enter_context(weightless(self.model))
            stack.enter_context(uncompiled(self.model))
            to_eval_mode(self.model)
            yield

    # 2. input generation

    def _make_inputs(self, inputs: object) -> None:
        self.inputs = make_inputs(self.model, inputs, seed=self.options.seed)
        self.data.inputs = [
            {"name": name, "dtype": from_torch_dtype(tensor.dtype).name, "shape": list(tensor.shape)}
            for name, tensor in self.inputs.named.items()
        ]

    # 3. hierarchy building

    def _watch_hierarchy(self) -> None:
        with put_back(self.model):
            try:
                self.hierarchy = self._watched()
            except Exception as error:  # an exporter may well manage what a plain call does not: it decides
                self.hierarchy = Hierarchy(module_table(self.model), unwatched=error)
                self.steps.note(f"the forward pass could not be watched: {type(error).__name__}: {error}")
        if self.options.reference is not None and parity_reason(self.options) is None:
            self.twin = watch_twin(self.options.reference, self.inputs, self.hierarchy, seed=self.options.seed)
        name_modules(self.hierarchy.modules, self.model, self.module_name)
        self.data.hierarchy = self.hierarchy.modules
        self.data.execution_steps = self.hierarchy.execution_steps

    def _watched(self) -> Hierarchy:
        args, kwargs = self.inputs.copies()  # a call lets caches grow
        if self.options.weights == "real":
            return watch_forward(self.model, args, kwargs, keep_tensors=parity_reason(self.options) is None)
        try:
            with shapes_only(self.model, args, kwargs) as (fake_args, fake_kwargs):
                return watch_forward(self.model, fake_args, fake_kwargs, keep_tensors=False)
        except GuardOnDataDependentSymNode:  # it decides by values: those of the inputs are real, at least
            args, kwargs = self.inputs.copies()
            return watch_forward(self.model, args, kwargs, keep_tensors=False)

    # 4. model tracing and 5. onnx export: one call of the exporter, seen apart by the observer

    def _trace_and_export(self) -> None:
        def traced(exported_program: object) -> None:
            if self.steps.current is HTPExportStep.TRACE:
                self.steps.finish()
                self.steps.start(HTPExportStep.EXPORT)

        self.observer = ProvenanceObserver(traced, self.model)
        options = self.options
        args, kwargs = self.inputs.copies()  # an exporter takes flags out and casts in place
        if options.dynamic_shapes is not None:
            check_axes(options.dynamic_shapes, self.model, args, kwargs)
        request = EngineRequest(
            model=self.model,
            args=args,
            kwargs=kwargs,
            dynamic=options.dynamic,
            dynamic_shapes=options.dynamic_shapes,
            opset_version=options.opset_version,
            optimize=options.optimize,
            ort_fusions=options.ort_fusions,
            axis_names=self.inputs.dynamic_axes or None,
            translations=options.custom_translation_table,
            quantizer=options.quantizer,
        )
        self.steps.start(HTPExportStep.TRACE)
        try:
            with linear_matching():
                self.program = self.engine.export(request, self.observer)
        except Exception:
            if self.hierarchy.unwatched is None:
                raise
            self.steps.return_to(HTPExportStep.HIERARCHY)
            raise self.hierarchy.unwatched from None  # the plain call says it in the user's own words
        for program in filter(None, (self.program, self.observer.provenance.unquantized)):
            name_values(program, options.input_names, options.output_names)
        self.data.opset = dict(self.program.opset_imports)
        self.data.outputs = [
            {
                "name": value.name,
                "dtype": value.dtype.name if value.dtype is not None else None,
                "shape": [str(dim) if not isinstance(dim, int) else dim for dim in value.shape or ()],
            }
            for value in self.program.graph.outputs
        ]
        traced(None)  # where the boundary could not be observed, tracing took the whole call
        self.steps.finish()

    # 6. node tagging

    def _tag_nodes(self) -> None:
        provenance = self.observer.provenance
        if provenance.faults:
            raise provenance.faults[0]
        self.data.unobserved = list(provenance.unobserved)
        self.shared = shared_parameters(self.model)
        self.hierarchy.follow(traced_calls(self.observer.provenance.program, self.hierarchy.modules))
        self.tagging = tagged(self.program, self.hierarchy, provenance, self.model, self.shared)
        strip_tags(self.program, self.options.tag_namespace)
        if self.options.embed_hierarchy_attributes:
            embed_tags(self.tagging, self.options.tag_namespace)
        coverage = self.tagging.coverage
        self.data.total_nodes = coverage.total_nodes
        self.data.tagged_nodes = self.tagging.tags
        self.data.node_details = self.tagging.details
        self.data.tagging_stats = coverage.to_dict()
        self.data.coverage = coverage.coverage

    # 7. model save

    def _save(self) -> None:
        structure_only = self.options.weights == "none"
        self.saved = save_model(
            self.program,
            self.path,
            structure_only=structure_only,
            parameters=set(self.shared),
            external=self.options.external_data,
        )
        check_saved(self.path, self.tagging, structure_only=structure_only)
        self.data.file_size = self.saved.size
        self.data.external_data_size = self.saved.external_size

    # 8. export complete: check against PyTorch, describe, make what ships

    def _verify_and_describe(self) -> None:
        self.verified = verify(
            Exported(
                options=self.options,
                model=self.model,
                inputs=self.inputs,
                hierarchy=self.hierarchy,
                twin=self.twin,
                path=self.path,
                program=self.program,
                tagging=self.tagging,
                shared_names=frozenset(self.shared),
                data=self.data,
            )
        )

    # the end

    def _abandon(self, error: BaseException) -> HTPExportError | None:
        remove_model(self.path)
        step = self.steps.current
        failure = self.steps.fail(error, *self._circumstances(error))
        if step is not None:
            self.monitor.log_step(step, self.data)  # its status says "failed"
        self.monitor.log_error(step, failure.cause if failure is not None else error)
        if failure is not None:
            failure.data = self.monitor.data
        try:
            self.monitor.finalize()
        except OSError as unwritten:
            error.add_note(f"pytest-htp: {unwritten}")
        if failure is not None:
            failure.console_html = self.monitor.console_writer.export_html()
        return failure

    def _circumstances(self, error: BaseException) -> tuple[Place | None, str | None]:
        model = getattr(self, "model", None)  # absent where not even the model could be prepared
        if model is None:
            return None, None
        return place_of(error, model, self.observer.provenance.program), left_over_fake(model)

    def _written(self) -> dict[str, Path]:
        try:
            return self.monitor.finalize()
        except OSError as error:
            raise HTPUsageError(f"{error.strerror} ({error.filename})") from error

    def _result(self, files: Mapping[str, Path]) -> HTPExport:
        verified = self.verified
        return HTPExport(
            onnx_path=self.path,
            metadata_path=files["metadata"],
            report_path=files["report"],
            console_path=files["console"],
            data=self.monitor.data,
            metadata=self.monitor.get_metadata(),
            console=self.monitor.get_console_output(),
            tags=self.tagging.tags,
            coverage=self.tagging.coverage,
            parity=verified.parity,
            quality=verified.quality.modules,
            output_quality=verified.quality.outputs,
            record=verified.record,
            graph=Graph(self.program),
            sources=source_lines(self.tagging, Path.cwd()),
            console_html=self.monitor.console_writer.export_html(),
            parameters=tuple(self.shared),
            targets=verified.targets,
            stages=verified.staged.stages,
            stage_failure=verified.staged.failure,
        )
