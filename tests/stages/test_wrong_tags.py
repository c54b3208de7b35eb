"""A tag that a stage's graph carries wrongly is contradicted by the values around its node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, Stage
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.flow import Placement
from pytest_htp.parity.measure import examine
from pytest_htp.parity.result import ParityResult
from pytest_htp.tagging.coverage import Evidence


def transposed(source: Path, destination: Path) -> None:
    """As for devices that want another layout: each Gelu works on a transposed value, which is turned back after it."""
    model = ir.load(source)
    for node in [node for node in model.graph if node.op_type == "Gelu"]:
        (read,), (made,) = node.inputs, node.outputs
        assert read is not None
        before, after = (ir.node("Transpose", [value], {"perm": [0, 2, 1]}) for value in (read, made))
        for value, turn in ((read, before), (made, after)):
            turn.outputs[0].name = f"{value.name}_turned"
        made.replace_all_uses_with(after.outputs[0])
        after.replace_input_with(0, made)
        node.replace_input_with(0, before.outputs[0])
        model.graph.insert_before(node, before)
        model.graph.insert_after(node, after)
        made.name, after.outputs[0].name = after.outputs[0].name, made.name
        made.shape = None
    ir.save(model, destination)


@pytest.mark.parametrize("stage", ["ort:extended", Stage("transposed", transposed)], ids=["fused", "transposed"])
def test_every_wrong_tag_of_a_node_that_stands_for_one_is_noticed(
    handed: tuple[Exported, ParityResult], staged: Callable[..., StagesResult], stage: str | Stage
) -> None:
    result = staged([stage])
    assert result.failure is None
    assert result.last is not None
    (made,) = result.stages.values()
    assert made.attestation["contradicted"] == []
    request = handed[0].to_measure(made.onnx_path, made.program, result.last)
    examined = examine(request)
    hierarchy, tagging = request.hierarchy, request.tagging
    evidences = examined.evidences(hierarchy)
    missed = []
    for facts in [facts for facts in tagging.nodes if facts.evidence is Evidence.DIRECT]:
        true = facts.path, facts.origins, facts.call
        for path in hierarchy.executed:
            facts.path, facts.origins, facts.call = path, (path,), 0
            if path != true[0] and not attest(evidences, Placement(examined.flow, tagging, hierarchy)).contradicted:
                missed.append((facts.key, *true[:1], path))
        facts.path, facts.origins, facts.call = true
    assert missed == []


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 8)
        self.act = nn.Hardswish(inplace=True)
        self.flat = nn.Flatten()
        self.head = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.flat(self.act(self.conv(x))))
        return y


def test_a_view_that_the_exporter_recorded_in_its_reader_contradicts_it_after_no_stage(tmp_path: Path) -> None:
    """torch.export writes it again, behind what changed its tensor in place."""
    exporter = HTPExporter(stages=["ort:basic", "ort:extended"])
    export = exporter.export(Pooled().eval(), (torch.randn(2, 3, 8, 8),), tmp_path / "m.onnx")
    for made in export.stages.values():
        assert made.attestation["attested"] == 3
        assert made.attestation["contradicted"] == []
