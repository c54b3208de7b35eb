"""Every fault of the catalogue gives its finding, names its module, and gives nothing else.

``docs/reference/faults.md`` is the same as a table: ``python -m tests.faults.table`` writes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError, HTPExportStep
from pytest_htp.compare.codes import CODES
from pytest_htp.compare.verdicts import at_or_above
from tests.faults._catalogue import FAULTS, Fault, outcome, vector

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"
# A record that differs in nothing that has a code is tested on records; a failed step has no record at all.
ELSEWHERE = {
    # Of two .onnx files: tests/files.
    "weights.values", "exporter.wording", "model.unrelated",
    "record.changed", "evidence.unobserved", "step.failed", "stage.failed", "export.missing",
    # Stages, targets and generation.
    "quality.worse", "quality.better", "quantization.lost", "quantization.gained", "target.failed", "placement.moved",
    "placement.gained", "placement.split", "tokens.differ", "flops.grown", "flops.shrunk",
}  # fmt: skip


# Graphs that onnx.checker refuses: the fault is found one step earlier than when it was entered.
INVALID = ("pytorch#173076", "pytorch#75597", "key and value exchanged", "pytorch#118941")


def refused(fault: Fault) -> bool:
    """Whether a fault makes a graph that step 7 refuses."""
    return any(mark in fault.what for mark in INVALID)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if refused(fault)], ids=lambda fault: fault.what)
def test_a_fault_that_makes_an_invalid_graph_fails_its_step(fault: Fault) -> None:
    with pytest.raises(HTPExportError, match=r"not valid ONNX, node \S+ \(\w+\) of module \S+") as raised:
        outcome(fault)
    assert raised.value.step is HTPExportStep.SAVE


MORE = ("flops.grown", "weights.grown")
VALID = [fault for fault in FAULTS if not refused(fault)]


@pytest.mark.parametrize("fault", VALID, ids=lambda fault: f"{fault.code}: {fault.what}".replace("/", " "))
def test_a_fault_gives_its_finding_and_nothing_else(fault: Fault) -> None:
    found = outcome(fault)
    severe = [finding for finding in found if at_or_above(finding.verdict, "drift")]
    looked_at = severe if at_or_above(CODES[fault.code].verdict, "drift") else found
    expected = (fault.code, CODES[fault.code].verdict, fault.module)
    # More operations and weights are more, whatever they are for: they stand beside the module that brings them.
    told = [finding for finding in looked_at if finding.code not in MORE or fault.code != "module.added"]
    assert [(finding.code, finding.verdict, finding.module) for finding in told] == [expected]


def test_every_code_has_a_fault() -> None:
    assert {fault.code for fault in FAULTS} == CODES.keys() - ELSEWHERE


def test_the_published_table_lists_these_faults() -> None:
    rows = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| `")]
    told = [tuple(cell.strip(" `") for cell in row.split("|")[1:3]) for row in rows]
    assert told == [(fault.code, fault.what) for fault in FAULTS]


class Undecided(nn.Module):
    """Python decides by a tensor's value, which can't be exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x - 1


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(HTPExportError) as raised:
        HTPExporter(parity=False).export(Undecided(), vector(), tmp_path / "model.onnx")
    assert raised.value.step is HTPExportStep.TRACE
    assert not (tmp_path / "model.onnx").exists()
