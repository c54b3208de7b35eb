"""What parity found: per output, per module, and where an error enters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

    from pytest_htp.capture.hierarchy import Hierarchy
    from pytest_htp.tagging.tagger import Tagging


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
    """

    onnx_path: Path
    program: ir.Model
    inputs: Mapping[str, Any]
    hierarchy: Hierarchy
    tagging: Tagging
    rtol: float | None = None
    atol: float | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)


@dataclass(frozen=True)
class Difference:
    """Difference of one tensor between PyTorch and ONNX Runtime.

    ``max_rel`` is the largest absolute difference over the largest magnitude of the reference (not element by element,
    where a zero would blow it up). ``beyond`` is the share (0 to 1) of elements beyond tolerance; elements where exactly one
    side is NaN or infinite, or both with different signs, count as beyond and are reported in ``nonfinite``.
    """

    name: str
    max_abs: float
    max_rel: float
    beyond: float = 0.0
    nonfinite: int = 0
    shape_mismatch: str | None = None

    @property
    def failed(self) -> bool:
        return self.beyond > 0 or self.shape_mismatch is not None


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
        first_divergence: where an error enters, None where none does.
        attestation: ``{"attested": count, "contradicted": [paths], "unmatched": [{"module", "reason"}]}``, or
            ``{"measured": False, "reason": …}``.
    """

    measured: bool
    reason: str | None = None
    outputs: list[Difference] = field(default_factory=list)
    modules: dict[str, Difference] = field(default_factory=dict)
    first_divergence: Divergence | None = None
    attestation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def not_measured(cls, reason: str) -> ParityResult:
        unmeasured = {"measured": False, "reason": reason}
        return cls(measured=False, reason=reason, attestation=unmeasured)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with measured numbers, for metadata and reports."""
        if not self.measured:
            return {"measured": False, "reason": self.reason}
        return {"measured": True}

    def to_record(self) -> dict[str, Any]:
        """Canonical form for the record: decades instead of numbers."""
        return self.to_dict()

    def attestation_record(self) -> dict[str, Any]:
        """Canonical form of the attestation for the record."""
        return dict(self.attestation)
