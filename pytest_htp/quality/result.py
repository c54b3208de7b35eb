"""The quality of one stage's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from pytest_htp.format.extremes import rounded
from pytest_htp.format.fold import fold_rows
from pytest_htp.format.paths import escape_path
from pytest_htp.format.record import FEW_VALUES, ModuleQualityRow, OutputQualityRow, QualityRow
from pytest_htp.quality.sqnr import stored


@dataclass(frozen=True, slots=True)
class Measured:
    """A module's SQNR in dB; ``entering`` the worst of what it took, None where that is not known.

    Their difference is what the module itself lost. ``at`` is the value in the graph that was measured, ``values`` how
    many elements a sample of it has (0: not known).
    """

    sqnr: float
    entering: float | None = None
    at: str = ""
    values: int = 0


@dataclass(frozen=True, slots=True)
class MeasuredOutput:
    """A graph output's SQNR in dB; of how many values a sample, and the smallest and largest that PyTorch gave."""

    sqnr: float
    values: int
    extremes: tuple[float, float]


@dataclass
class Quality:
    """SQNR by module and by output.

    Attributes:
        measured: False where nothing was run; ``reason`` says why.
        details: module path → what was measured of it, in execution order.
        output_details: graph output → what was measured of it.
        undefined: module path → why an executed module has no number.
        undefined_outputs: the same by output.
    """

    measured: bool
    reason: str = ""
    details: dict[str, Measured] = field(default_factory=dict)
    output_details: dict[str, MeasuredOutput] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    undefined_outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def not_measured(cls, reason: str) -> Quality:
        """A result that says why nothing was measured."""
        return cls(measured=False, reason=reason)

    @property
    def modules(self) -> dict[str, float]:
        """Module path → dB."""
        return {path: found.sqnr for path, found in self.details.items()}

    @property
    def outputs(self) -> dict[str, float]:
        """Graph output → dB."""
        return {name: found.sqnr for name, found in self.output_details.items()}

    def to_row(self, names: Mapping[str, str] | None = None) -> QualityRow:
        """For a record: floors to multiples of 3 dB, equal modules folded.

        Args:
            names: output → what the record calls it, where that is another name.
        """
        if not self.measured:
            return QualityRow(measured=False, reason=self.reason)
        rows = [
            ModuleQualityRow(
                path=path,
                sqnr=stored(found.sqnr),
                entering=None if found.entering is None else stored(found.entering),
                values=_few(found.values),
            )
            for path, found in self.details.items()
        ]
        rows += [ModuleQualityRow(path=path, sqnr=None, reason=reason) for path, reason in self.undefined.items()]
        called = names or {}
        counts = [found.values for rows in (self.details, self.output_details) for found in rows.values()]
        known = any(map(_few, counts))  # else it does not matter of which weights they are
        outputs = [
            OutputQualityRow(
                name=escape_path(called.get(name, name)),
                sqnr=stored(found.sqnr),
                values=_few(found.values),
                extremes=rounded(*found.extremes) if known else None,
            )
            for name, found in self.output_details.items()
        ]
        outputs += [
            OutputQualityRow(name=escape_path(called.get(name, name)), sqnr=None, reason=reason)
            for name, reason in self.undefined_outputs.items()
        ]
        return QualityRow(measured=True, modules=sorted(fold_rows(rows), key=attrgetter("path")), outputs=outputs)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with measured numbers, for metadata and reports."""
        if not self.measured:
            return {"measured": False, "reason": self.reason}
        return {
            "measured": True,
            "modules": {path: _described(found) for path, found in self.details.items()},
            "outputs": dict(self.outputs),
            "undefined": {**self.undefined, **self.undefined_outputs},
        }


def _few(values: int) -> int | None:
    return values if 0 < values <= FEW_VALUES else None


def _described(found: Measured) -> dict[str, float | None]:
    return {"sqnr": found.sqnr, "entering": found.entering}
