"""Hold a stage's file against PyTorch: parity within the stage's precision, and quality, in one session."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir
import torch

from pytest_htp.parity.differences import extremes
from pytest_htp.parity.feeds import match_outputs
from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.measure import measure_parity
from pytest_htp.parity.reasons import ABSENT, BODY, STORED, UNLIKE
from pytest_htp.parity.references import References
from pytest_htp.parity.result import ParityRequest, ParityResult
from pytest_htp.quality.coarse import attested_coarsely
from pytest_htp.quality.meter import Meter
from pytest_htp.quality.modules import NO_NUMBERS, ModuleNumbers
from pytest_htp.quality.result import MeasuredOutput, Quality
from pytest_htp.quality.sqnr import Undefined, sqnr, values_of_sample


@dataclass(frozen=True)
class QualityRequest(ParityRequest):
    """A stage's file to measure.

    Attributes:
        onnx_path, program, tagging: the stage's file, its graph and its tags.
        inputs, hierarchy: of the export: what PyTorch was run on, and what it recorded.
        precision: what the stage computes in (``"float16"``, ``"int8"``); None: as PyTorch did.
        values: of the export's :attr:`ParityResult.values`, which value each recorded tensor is; empty where parity
            was not measured there.
        export: the graph whose values they are.
        reasons: module → why the export has no value of it, in parity's words.
    """

    values: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    export: ir.Model | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageMeasurement:
    """What one session measured of a stage."""

    parity: ParityResult
    quality: Quality


def measure_quality(request: QualityRequest) -> Quality:
    """SQNR of every module and output. Raises as :func:`measure_stage`."""
    return measure_stage(request).quality


def measure_stage(request: QualityRequest) -> StageMeasurement:
    """Run the file once and compare everything.

    Raises:
        RuntimeRefused: ONNX Runtime does not load or run it.
        HTPUsageError: an unavailable execution provider, or inputs that don't fit the graph.
    """
    reader = _Reader(request)
    parity = measure_parity(request, reader)
    if not parity.measured:
        return StageMeasurement(parity, Quality.not_measured(parity.reason or ""))
    quality = reader.quality(parity)
    if request.precision == "int8":
        parity.attestation = attested_coarsely(quality, request.hierarchy, request.tagging)
    return StageMeasurement(parity, quality)


class _Reader:
    """Reads the numbers off the values of parity's run."""

    def __init__(self, request: QualityRequest) -> None:
        self._request = request
        self._meter: Meter
        self._outputs: dict[str, MeasuredOutput | Undefined]

    def begin(
        self, references: References, flow: Flow, placement: Placement, places: Mapping[ir.Value, set[int]]
    ) -> None:
        asked = self._request
        self._meter = Meter.of(asked.program, references, flow, placement, places, asked.values, asked.export)

    def value(self, value: ir.Value, tensor: torch.Tensor, alike: Collection[int]) -> None:
        self._meter.add(value, tensor, alike)

    def outputs(self, got: Mapping[str, torch.Tensor]) -> None:
        matched = match_outputs(self._request.program, self._request.hierarchy.result)
        self._outputs = {name: _of_output(tensor, got.get(name)) for name, tensor in matched}

    def quality(self, parity: ParityResult) -> Quality:
        details, undefined = ModuleNumbers(self._request.hierarchy, self._request.tagging, self._meter).all()
        for reasons in (self._request.reasons, parity.unmatched):
            for path, reason in undefined.items():
                if reason == UNLIKE and reasons.get(path) in (ABSENT, STORED, BODY):
                    undefined[path] = reasons[path]
        return Quality(
            measured=True,
            details=details,
            undefined=undefined,
            output_details={name: found for name, found in self._outputs.items() if not isinstance(found, Undefined)},
            undefined_outputs={
                name: found.reason for name, found in self._outputs.items() if isinstance(found, Undefined)
            },
        )


def _of_output(expected: torch.Tensor | None, got: torch.Tensor | None) -> MeasuredOutput | Undefined:
    if expected is None or got is None:
        return Undefined("no tensor")
    if torch.is_complex(expected):
        expected = torch.view_as_real(expected.resolve_conj())
    if expected.shape != got.shape:
        return Undefined(f"shape {list(got.shape)} instead of {list(expected.shape)}")
    if not (expected.dtype.is_floating_point and got.dtype.is_floating_point):
        return Undefined(NO_NUMBERS)
    found = sqnr(expected, got)
    if isinstance(found, Undefined):
        return found
    return MeasuredOutput(found, values_of_sample(expected), extremes(expected))
