"""The passes that decide evidence, in the order they run."""

from __future__ import annotations

from typing import Protocol

from pytest_htp.tagging.facts import GraphFacts
from pytest_htp.tagging.passes.dataflow import DataFlowPass
from pytest_htp.tagging.passes.fused import FusedOriginsPass
from pytest_htp.tagging.passes.program import ExportedProgramPass
from pytest_htp.tagging.passes.recorded import RecordedStackPass


class EvidencePass(Protocol):
    """Decides some of the undecided nodes of a graph; never moves a node that an earlier pass decided, unless
    its docstring says so.
    """

    def run(self, graph: GraphFacts) -> None: ...


def default_passes() -> tuple[EvidencePass, ...]:
    """Strongest evidence first."""
    return (RecordedStackPass(), FusedOriginsPass(), ExportedProgramPass(), DataFlowPass())


__all__ = [
    "DataFlowPass",
    "EvidencePass",
    "ExportedProgramPass",
    "FusedOriginsPass",
    "RecordedStackPass",
    "default_passes",
]
