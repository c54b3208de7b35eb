"""What a target's compiler made of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_htp.format.fold import fold_paths, fold_rows
from pytest_htp.format.record import PlacementRow, TargetRecord


@dataclass(frozen=True)
class HTPTarget:
    """The last stage's graph as compiled for one target.

    Attributes:
        name: the target's.
        compiled: whether the compiler took the graph.
        error: the compiler's own words where it did not, else None.
        partitions: contiguous pieces given to the target; None where it did not compile.
        placement: module path → device → count of compiled nodes that belong to the module.
        share: percent of compiled nodes that run on the target; None where it did not compile.
        seconds: of the compiler's process, its start included.
        device: the target's own name among the devices of ``placement``; any other is a fallback.
        fallback: module path → operator → count of its nodes that are on another device.
        unplaced: device → count of compiled nodes that no module could be found for.
        failing: where it did not compile, the smallest modules that alone do not; empty if not found.
        runs: device → count over execution order, as ``("QNN", 86)`` pairs; each piece given to the target is one.
        log: what the compiler printed.
        peak_memory: of the compiler's process in MiB, None where it is not known.
        options: as given to the compiler.
    """

    name: str
    compiled: bool
    error: str | None
    partitions: int | None
    placement: dict[str, dict[str, int]]
    share: float | None
    seconds: float
    device: str
    fallback: dict[str, dict[str, int]] = field(default_factory=dict)
    unplaced: dict[str, int] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    runs: tuple[tuple[str, int], ...] = ()
    log: str = ""
    peak_memory: float | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> TargetRecord:
        """The row of a baseline: without times and the compiler's chatter, folded over repeated layers."""
        return TargetRecord(
            name=self.name,
            options=dict(sorted(self.options.items())),
            compiled=self.compiled,
            device=self.device,
            error=self.error,
            failing=fold_paths(self.failing),
            partitions=self.partitions,
            share=self.share,
            placement=fold_rows(
                PlacementRow(path=path, devices=devices, fallback=self.fallback.get(path, {}))
                for path, devices in self.placement.items()
            ),
            unplaced=self.unplaced,
        )

    def summary(self) -> dict[str, object]:
        """JSON values for the metadata and reports, with the line that logs show."""
        return {
            "compiled": self.compiled,
            "error": self.error,
            "failing": list(self.failing),
            "device": self.device,
            "options": dict(sorted(self.options.items())),
            "partitions": self.partitions,
            "share": self.share,
            "placement": self.placement,
            "fallback": self.fallback,
            "unplaced": self.unplaced,
            "runs": [list(run) for run in self.runs],
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "line": self.line(),
        }

    def line(self) -> str:
        """One line for logs and reports."""
        if not self.compiled:
            where = f" (alone: {', '.join(map(_shown, fold_paths(self.failing)))})" if self.failing else ""
            return f"{self.name}: does not compile{where}: {self.error}"
        if self.share is None:
            return f"{self.name}: compiled, no placement reported"
        total = sum(count for devices in (*self.placement.values(), self.unplaced) for count in devices.values())
        pieces = f"{self.partitions} partition{'' if self.partitions == 1 else 's'}"
        return f"{self.name}: compiled, {self.share:g}% of {total} nodes on {self.device} in {pieces}"


def _shown(pattern: str) -> str:
    return pattern or "the whole model"
