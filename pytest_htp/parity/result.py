"""What parity found: per output, per module, and where an error enters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import escape_path
from pytest_htp.format.record import AttestationRow, OutputParityRow, ParityRow, UnmatchedRow
from pytest_htp.parity.reasons import BODY
from pytest_htp.parity.tolerance import Precision

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from pytest_htp.capture.hierarchy import Hierarchy
    from pytest_htp.tagging.tagger import Tagging


@dataclass(frozen=True)
class InputSet:
    """Further inputs (padding, another batch or length) and what PyTorch returned for them.

    ``inputs`` as in :class:`ParityRequest`; ``result`` is the model's return value, not flattened.
    """

    name: str
    inputs: Mapping[str, torch.Tensor]
    result: object


@dataclass(frozen=True)
class ParityRequest:
    """What the comparison needs.

    Attributes:
        onnx_path: the saved model; external data beside it.
        program: the same graph in memory.
        inputs: the tensors PyTorch was run on, flattened, in call order, by display name.
        hierarchy: the watched forward pass with tensors kept.
        tagging: the tags to attest.
        rtol, atol: tolerances; None takes defaults by dtype.
        providers: ONNX Runtime execution providers.
        extensions: paths of libraries that register further operators with ONNX Runtime.
        extra_inputs: further input sets; outputs are compared on them as well, through the same session.
        batch_bytes: values of one run held at once, in bytes; None takes the documented default.
        precision: what a stage's graph computes in, where that is coarser than PyTorch.
    """

    onnx_path: Path
    program: ir.Model
    inputs: Mapping[str, torch.Tensor]
    hierarchy: Hierarchy
    tagging: Tagging
    rtol: float | None = None
    atol: float | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    extensions: Sequence[str] = ()
    extra_inputs: Sequence[InputSet] = ()
    batch_bytes: int | None = None
    precision: Precision | None = None


@dataclass(frozen=True)
class Difference:
    """Difference of one tensor between PyTorch and ONNX Runtime.

    ``max_rel`` is the largest absolute difference over the largest magnitude of the reference (not element by
    element, where a zero would blow it up), ``spread`` the root mean square of the differences over that of the
    reference. ``beyond`` is the share (0 to 1) of elements beyond tolerance; elements where exactly one side is NaN or
    infinite, or both with different signs, count as beyond and are reported in ``nonfinite``. ``shape_mismatch`` says
    what prevented a comparison; the differences are infinite then. ``undeclared`` is the shape an output had where the
    graph declares another one. ``floor`` is the decade of rounding noise for the element type.
    """

    name: str
    max_abs: float
    max_rel: float
    beyond: float = 0.0
    nonfinite: int = 0
    shape_mismatch: str | None = None
    undeclared: tuple[int, ...] | None = None
    floor: str = "1e-05"
    spread: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether values or shapes are beyond what is tolerated."""
        return self.beyond > 0 or self.shape_mismatch is not None or self.undeclared is not None


@dataclass(frozen=True)
class Divergence:
    """The module where an error enters: its inputs agree, its output doesn't."""

    module: str
    max_abs: float
    max_rel: float
    call: int = 0


@dataclass
class ParityResult:
    """PyTorch against ONNX Runtime on the given inputs.

    Attributes:
        measured: False where nothing was run; ``reason`` says why.
        outputs: one difference per graph output, in graph order.
        modules: module path → worst difference over its calls, for modules whose value was found.
        input_sets: name of a further input set → one difference per graph output.
        first_divergence: where an error enters, None where none does.
        attestation: ``{"attested": count, "contradicted": [paths], "unmatched": [{"module", "reason"}]}``, or
            ``{"measured": False, "reason": …}``.
        values: recorded tensor (its index among ``References``) → names of the values equal to it, in graph order.
    """

    measured: bool
    reason: str | None = None
    outputs: list[Difference] = field(default_factory=list)
    modules: dict[str, Difference] = field(default_factory=dict)
    input_sets: dict[str, list[Difference]] = field(default_factory=dict)
    first_divergence: Divergence | None = None
    attestation: dict[str, Any] = field(default_factory=dict)
    values: dict[int, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def not_measured(cls, reason: str) -> ParityResult:
        """A result that says why nothing was measured."""
        unmeasured = {"measured": False, "reason": reason}
        return cls(measured=False, reason=reason, attestation=unmeasured)

    @property
    def unmatched(self) -> dict[str, str]:
        """Module path → why it is not attested, of those that nothing contradicts."""
        return {entry["module"]: entry["reason"] for entry in self.attestation["unmatched"]}

    def to_dict(self) -> dict[str, object]:
        """JSON-able, with measured numbers, for metadata and reports; infinite differences are null."""
        if not self.measured:
            return {"measured": False, "reason": self.reason}
        entering = self.first_divergence
        described: dict[str, object] = {
            "measured": True,
            "outputs": [_described(output) for output in self.outputs],
            "modules": {path: _described(found, named=False) for path, found in self.modules.items()},
            "first_divergence": None
            if entering is None
            else {
                "module": entering.module,
                "call": entering.call,
                "max_abs": _number(entering.max_abs),
                "max_rel": _number(entering.max_rel),
            },
            "failed": self.failed,
        }
        if self.input_sets:
            described["input_sets"] = {
                name: [_described(output) for output in outputs] for name, outputs in self.input_sets.items()
            }
        return described

    def to_record(self) -> ParityRow:
        """Canonical form for the record: decades instead of numbers, the worst over all input sets.

        A relative difference at or below the noise floor of its element type writes both numbers as that floor: the
        decade of an absolute difference in the noise follows the magnitude of the weights and moves with their seed.
        """
        if not self.measured:
            return ParityRow(measured=False, reason=self.reason or "")
        entering = self.first_divergence
        floor = self.outputs[0].floor if self.outputs else "1e-05"
        columns = zip(self.outputs, *self.input_sets.values(), strict=True)
        return ParityRow(
            measured=True,
            outputs=[_decades(column) for column in columns],
            first_divergence=None if entering is None else escape_path(entering.module),
            divergence=None if entering is None else decade(entering.max_rel, floor),
            failed=self.failed,
            failed_on=[name for name, outputs in self.input_sets.items() if any(output.failed for output in outputs)],
        )

    def attestation_record(self) -> AttestationRow:
        """Canonical form of the attestation for the record: modules as folded patterns, in natural order."""
        if not self.attestation.get("measured"):
            return AttestationRow(measured=False, reason=self.attestation.get("reason") or "")
        by_reason: dict[str, list[str]] = {}
        for entry in self.attestation["unmatched"]:
            if entry["reason"] == BODY:
                continue  # which branch runs depends on weights and inputs
            by_reason.setdefault(entry["reason"], []).append(entry["module"])
        return AttestationRow(
            measured=True,
            attested=self.attestation["attested"],
            contradicted=fold_paths(self.attestation["contradicted"]),
            unmatched=[
                UnmatchedRow(module=pattern, reason=reason)
                for reason, paths in sorted(by_reason.items())
                for pattern in fold_paths(paths)
            ],
        )

    @property
    def failed(self) -> list[str]:
        """Names of outputs beyond tolerance on any input set, in graph order."""
        sets = [self.outputs, *self.input_sets.values()]
        names = {output.name for outputs in sets for output in outputs if output.failed}
        return [output.name for output in self.outputs if output.name in names]


def _described(found: Difference, *, named: bool = True) -> dict[str, object]:
    described: dict[str, object] = {"name": found.name} if named else {}
    described |= {
        "max_abs": _number(found.max_abs),
        "max_rel": _number(found.max_rel),
        "beyond": found.beyond,
    }
    if found.nonfinite:
        described["nonfinite"] = found.nonfinite
    if found.shape_mismatch is not None:
        described["shape_mismatch"] = found.shape_mismatch
    if found.undeclared is not None:
        described["undeclared"] = list(found.undeclared)
    return described


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _decades(column: Iterable[Difference]) -> OutputParityRow:
    column = list(column)
    name, floor = column[0].name, column[0].floor
    relative = max(found.max_rel if not found.nonfinite else math.inf for found in column)
    absolute = max(found.max_abs if not found.nonfinite else math.inf for found in column)
    if relative <= float(floor):
        absolute = relative
    ran_as = next((list(found.undeclared) for found in column if found.undeclared is not None), None)
    return OutputParityRow(name=name, max_abs=decade(absolute, floor), max_rel=decade(relative, floor), ran_as=ran_as)


def decade(value: float, floor: str) -> str:
    """``value`` rounded up to a power of ten, as text (``"1e-05"``), never below ``floor``; ``"inf"`` if not finite.

    Rounding allows for a last-digit error of the division that made ``value``: 1.0000000001e-5 is still 1e-05.
    """
    if not math.isfinite(value):
        return "inf"
    if value <= float(floor):
        return floor
    return f"1e{math.ceil(math.log10(value) - 1e-9):+03d}"
