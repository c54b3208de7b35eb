"""Coverage that can fall: shares of nodes by the evidence their tag stands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """Why a node has its tag; exactly one per node (docs/explanation/evidence.md)."""

    DIRECT = "direct"
    FUSED = "fused"
    INFERRED = "inferred"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts per evidence class and the shares that follow from them.

    ``coverage``, ``direct_coverage`` and ``root_share`` are percent of all nodes, not rounded (what is shown is).
    An empty graph has coverage 100 with total 0.
    """

    total_nodes: int = 0
    direct: int = 0
    fused: int = 0
    inferred: int = 0
    none: int = 0
    coverage: float = 100.0
    direct_coverage: float = 100.0
    root_share: float = 0.0

    @classmethod
    def of(cls, decisions: Iterable[tuple[Evidence, bool]]) -> Coverage:
        """Count ``(evidence, tag is the root's)`` pairs, one per node."""
        counts = dict.fromkeys(Evidence, 0)
        at_root = 0
        for evidence, is_root in decisions:
            counts[evidence] += 1
            at_root += is_root
        total = sum(counts.values())
        covered = total - counts[Evidence.NONE]
        return cls(
            total_nodes=total,
            direct=counts[Evidence.DIRECT],
            fused=counts[Evidence.FUSED],
            inferred=counts[Evidence.INFERRED],
            none=counts[Evidence.NONE],
            coverage=_percent(covered, total, empty=100.0),
            direct_coverage=_percent(counts[Evidence.DIRECT], total, empty=100.0),
            root_share=_percent(at_root, total, empty=0.0),
        )

    def to_dict(self) -> dict[str, int | float]:
        """As the record has it."""
        return asdict(self)


def _percent(part: int, total: int, *, empty: float) -> float:
    return 100.0 * part / total if total else empty
