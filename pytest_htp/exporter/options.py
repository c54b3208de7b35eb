"""The options of an export: one place for names, defaults, checks and the messages of bad values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any, get_args

from pytest_htp.errors import HTPUsageError, suggestion
from pytest_htp.monitor.config import MonitorConfig
from pytest_htp.stages.stage import BUILT_IN, CALIBRATED, Stage, name_of, resolve_stages
from pytest_htp.targets.builtin import resolve_targets
from pytest_htp.vocabulary import EngineName, OrtFusions, Weights


@dataclass(frozen=True)
class ExportOptions:
    """Options of :class:`pytest_htp.HTPExporter`, and by the same names of the fixture ``htp_export``.

    Attributes:
        exporter: ``"auto"`` uses transformers' own ``OnnxExporter`` for a ``PreTrainedModel`` and
            ``torch.onnx.export(dynamo=True)`` for any other module.
        dynamic: make every input axis dynamic that can be.
        dynamic_shapes: as for ``torch.export.export``; axis names may be strings.
        opset_version: None leaves the choice to the exporter.
        input_names, output_names: names of the graph's inputs and outputs by place; fewer leave the rest.
        custom_translation_table: torch operator → ONNX function, as for ``torch.onnx.export`` (torch exporter only).
        external_data: weights beside the graph; None puts them there from 32 MiB on.
        optimize: run the exporter's graph optimizer.
        ort_fusions: transformers' ONNX Runtime fusions for an execution provider (implies the transformers exporter).
        embed_hierarchy_attributes: write tags into the saved model's node metadata.
        tag_namespace: prefix of the metadata keys.
        weights: ``"none"`` exports the structure without ever allocating the weights.
        parity: compare with ONNX Runtime where it is installed.
        rtol, atol: tolerances of parity; None takes defaults by dtype.
        parity_inputs: further input sets, each like ``inputs``; outputs are compared on them as well. Beside them, the
            example with other sizes on dynamic axes, and with padding.
        providers: ONNX Runtime execution providers.
        ort_extensions: libraries that register operators of other domains with ONNX Runtime, as paths, such as
            ``onnxruntime_extensions.get_library_path()``; for parity, of stages' files too,
            and for the stages ``ort:*``.
        targets: devices that the last graph is compiled for, without the device: names and
            :class:`pytest_htp.Target` objects, or a mapping from name to its options.
        target_timeout: seconds that compiling for one target may take, 0 for no limit.
        stages: what is done with the exported file, in order: names of ``pytest_htp.stages.BUILT_IN``, or ``Stage``.
        calibration: input sets that ``int8:qdq`` is calibrated on, each like ``inputs``; None takes ``inputs``.
        quantizer: one of ``transformers.exporters``, as of its ``OnnxConfig``: the export itself is quantized, and its
            quality measured against the model, which stays in float (implies the transformers exporter).
        reference: the float twin of a model that is quantized already: the quality of the export and its stages is
            measured against it.
        seed: of generated weights and inputs.
        config: of the monitor (:class:`pytest_htp.HTPExportMonitor`).
        verbose: print the monitor's output to the terminal while exporting.

    Raises:
        HTPUsageError: an unknown option or a value that can't be used, with what is known.
    """

    exporter: EngineName = "auto"
    dynamic: bool = False
    dynamic_shapes: Any = None
    opset_version: int | None = None
    input_names: Sequence[str] = ()
    output_names: Sequence[str] = ()
    custom_translation_table: Mapping[Callable[..., Any], Any] | None = None
    external_data: bool | None = None
    optimize: bool = True
    ort_fusions: OrtFusions | None = None
    embed_hierarchy_attributes: bool = True
    tag_namespace: str = "htp"
    weights: Weights = "real"
    parity: bool = True
    rtol: float | None = None
    atol: float | None = None
    parity_inputs: Sequence[Any] = ()
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    ort_extensions: Sequence[str | PathLike[str]] = ()
    targets: Any = ()
    target_timeout: float = 300.0
    stages: Sequence[str | Stage] = ()
    calibration: Iterable[Any] | None = None
    quantizer: Any = None
    reference: object = None
    seed: int = 0
    config: Mapping[str, Any] | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", resolve_targets(self.targets))
        if self.targets and self.weights == "none":
            raise HTPUsageError("targets compile the graph with its weights, and weights='none' has none")
        limit = self.target_timeout
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < float("inf"):
            raise HTPUsageError(f"option target_timeout must be a number of seconds (0: no limit), got {limit!r}")
        _one_of("exporter", self.exporter, get_args(EngineName))
        _one_of("weights", self.weights, get_args(Weights))
        if self.ort_fusions is not None:
            _one_of("ort_fusions", self.ort_fusions, get_args(OrtFusions))
            if not self.optimize:
                raise HTPUsageError("ort_fusions rewrites the optimized graph; it can't be used with optimize=False")
        for name in ("dynamic", "optimize", "embed_hierarchy_attributes", "parity", "verbose"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise HTPUsageError(f"option {name} must be True or False, got {value!r}")
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf")
            ):
                raise HTPUsageError(f"option {name} must be a number of at least 0 or None, got {value!r}")
        opset = self.opset_version
        if opset is not None and (isinstance(opset, bool) or not isinstance(opset, int) or not 7 <= opset <= 100):
            raise HTPUsageError(f"option opset_version must be a whole number from 7 up or None, got {opset!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise HTPUsageError(f"option seed must be a whole number, got {self.seed!r}")
        namespace = self.tag_namespace
        if not isinstance(namespace, str) or not namespace or not namespace.replace("_", "").replace(".", "").isalnum():
            raise HTPUsageError(
                f"option tag_namespace must be a word of letters, digits, '_' and '.', got {namespace!r}"
            )
        if isinstance(self.providers, str) or not all(isinstance(item, str) for item in self.providers):
            raise HTPUsageError(f"option providers must be a list of provider names, got {self.providers!r}")
        self._check_extensions()
        self._check_stages()
        self._check_quantized()
        MonitorConfig.parse(self.config)
        for name in ("input_names", "output_names"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(item, str) and item for item in names):
                raise HTPUsageError(f"option {name} must be a list of names, got {names!r}")
            if len(set(names)) < len(names):
                raise HTPUsageError(f"option {name} has a name twice: {', '.join(names)}")
        if self.external_data not in (None, True, False):
            raise HTPUsageError(f"option external_data must be True, False or None, got {self.external_data!r}")
        table = self.custom_translation_table
        if table is not None and not (isinstance(table, Mapping) and all(map(callable, table))):
            raise HTPUsageError(
                f"option custom_translation_table must map torch operators to ONNX functions, got {table!r}"
            )
        if not isinstance(self.parity_inputs, (list, tuple)):
            raise HTPUsageError(
                f"option parity_inputs must be a list of input sets, got {type(self.parity_inputs).__name__}; "
                "put a single one into a list: parity_inputs=[inputs]"
            )

    def _check_quantized(self) -> None:
        quantizer = self.quantizer
        if quantizer is not None:
            if isinstance(quantizer, type) or not all(
                hasattr(quantizer, it) for it in ("quantize", "supported_formats")
            ):
                given = quantizer.__name__ if isinstance(quantizer, type) else repr(quantizer)
                raise HTPUsageError(
                    "option quantizer must be a quantizer object of transformers.exporters, such as "
                    f"OnnxRuntimeQuantizer(), got {given}; ONNX Runtime's by name are stages=['int8:qdq']"
                )
            if self.exporter == "torch":
                raise HTPUsageError(
                    "option quantizer is for transformers' exporter, and exporter='torch' is asked for: leave it out, "
                    "or quantize in a stage: stages=['int8:qdq']"
                )
            if self.reference is not None:
                raise HTPUsageError("with quantizer= the model itself is the float twin; leave reference= out")
        if self.weights == "none" and (quantizer is not None or self.reference is not None):
            name = "reference" if quantizer is None else "quantizer"
            raise HTPUsageError(f"{name}= is about weights, and with weights='none' there are none: use weights='real'")

    def _check_extensions(self) -> None:
        libraries = self.ort_extensions
        if not isinstance(libraries, (list, tuple)) or not all(isinstance(item, (str, PathLike)) for item in libraries):
            raise HTPUsageError(f"option ort_extensions must be a list of paths of libraries, got {libraries!r}")
        for library in libraries:
            if not Path(library).is_file():
                raise HTPUsageError(f"option ort_extensions: there is no library {fspath(library)!r}")
        # As paths, which the cache takes by what the file holds: a rebuilt library computes something else.
        object.__setattr__(self, "ort_extensions", tuple(map(Path, libraries)))

    def _check_stages(self) -> None:
        object.__setattr__(self, "stages", resolve_stages(self.stages))
        names = [name_of(stage) for stage in self.stages]
        weightless = [name for name in names if name in BUILT_IN] if self.weights == "none" else []
        if weightless:
            raise HTPUsageError(
                f"stage {weightless[0]!r} works on weights, and with weights='none' there are none: use "
                "weights='real', or a Stage(name, function) that takes a model without them"
            )
        if self.calibration is not None:
            if CALIBRATED not in names:
                raise HTPUsageError(f"option calibration is for the stage {CALIBRATED!r}, which is not in stages")
            if isinstance(self.calibration, (str, Mapping)) or not isinstance(self.calibration, Iterable):
                raise HTPUsageError(
                    f"option calibration must be a list of input sets, got {type(self.calibration).__name__}; "
                    "put a single one into a list: calibration=[inputs]"
                )
            object.__setattr__(self, "calibration", tuple(self.calibration))  # one export may not use up another's

    def require(self) -> None:
        """See to what compiles for the targets.

        Raises:
            HTPUsageError: a package that a target needs is missing.
        """
        for target in self.targets:
            target.require()

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> ExportOptions:
        """Build from keyword options; an unknown name is a :class:`HTPUsageError` that suggests the nearest one."""
        for name in options:
            if name not in cls.known():
                hint = suggestion(name, cls.known())
                raise HTPUsageError(f"unknown export option {name!r}{hint}; known options: {', '.join(cls.known())}")
        return cls(**options)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise HTPUsageError(f"option {name} must be one of {', '.join(map(repr, known))}, got {value!r}")
