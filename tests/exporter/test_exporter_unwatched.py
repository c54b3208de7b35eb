"""What can't be watched is exported all the same, and said to be unwatched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError
from pytest_htp.vocabulary import HTPExportStep


def test_padding_mask_of_an_encoder(tmp_path: Path) -> None:
    """Its fused kernels would give the layers nested tensors, which have no shape."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.encoder(x, src_key_padding_mask=mask)
            return result

    mask = torch.tensor([[False] * 3, [False, False, True]])
    before = torch.backends.mha.get_fastpath_enabled()
    result = HTPExporter().export(Encoder().eval(), (torch.randn(2, 3, 8), mask), tmp_path / "m.onnx")
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert (result.parity.measured, result.parity.failed) == (True, [])
    assert "/Encoder/TransformerEncoder.encoder/TransformerEncoderLayer.layers.0/Linear.linear1" in result.tags.values()


class RefusesEagerly(nn.Module):
    """A forward that only an exporter can run."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_exporting():
            raise RuntimeError("only for export")
        result: torch.Tensor = self.inner(x)
        return result


def test_a_forward_that_only_the_exporter_can_run(tmp_path: Path) -> None:
    result = HTPExporter().export(RefusesEagerly(), (torch.ones(2, 4),), tmp_path / "m.onnx")
    assert set(result.tags.values()) == {"/RefusesEagerly/Linear.inner"}
    assert not result.parity.measured
    assert result.record["parity"]["reason"] == "the forward pass could not be watched (RuntimeError)"
    assert "could not be watched (RuntimeError)" in " ".join(result.console.split())
    notes = result.data.steps[HTPExportStep.HIERARCHY.value]["notes"]
    assert notes == ["the forward pass could not be watched: RuntimeError: only for export"]


def test_where_the_exporter_fails_too_the_plain_call_is_told(tmp_path: Path) -> None:
    with pytest.raises(HTPExportError, match=r"step 3/8 \(hierarchy building\)") as caught:
        HTPExporter().export(nn.Linear(4, 4), (torch.ones(2, 5),), tmp_path / "m.onnx")
    assert caught.value.step is HTPExportStep.HIERARCHY
    statuses = [caught.value.data.steps[step.value]["status"] for step in HTPExportStep]
    assert statuses == ["completed", "completed", "failed", *["skipped"] * 5]


def test_a_program_of_torch_export(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.second(self.first(x).relu())
            return result

    example = (torch.randn(2, 4),)
    program = torch.export.export(Net().eval(), example)
    for model in (program, program.module()):
        result = HTPExporter().export(model, example, tmp_path / "m.onnx")
        assert sorted(result.tags.values()) == ["/Net", "/Net/Linear.first", "/Net/Linear.second"]
        assert (result.parity.measured, result.parity.failed) == (True, [])
