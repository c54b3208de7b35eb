"""Equal elements are sorted as in ONNX, so that PyTorch and the graph have them in one order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.capture.ties import TiesInOrder

TIES = torch.tensor([3, 1, 2, 1, 0, 3, 2, 1] * 8)


class Experts(nn.Module):
    """Rows by their expert, as a mixture of experts sorts its tokens, and the places of the best ones."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.SiLU()

    def forward(self, rows: torch.Tensor, expert: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, order = torch.sort(expert)
        return self.act(rows[order]).cumsum(0), torch.topk(expert, 5).indices


def test_what_is_sorted_is_in_the_order_of_the_graph(tmp_path: Path) -> None:
    assert not torch.equal(torch.sort(TIES).indices, torch.sort(TIES, stable=True).indices)  # or this proves nothing
    rows = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    export = HTPExporter(stages=["int8:dynamic"]).export(Experts(), (rows, TIES), tmp_path / "m.onnx")
    assert export.parity.failed == []
    assert export.attestation["attested"] == 1
    assert export.stages["int8:dynamic"].quality["act"] > 140


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("largest", [True, False])
def test_only_the_order_of_equal_elements_differs(dim: int, *, largest: bool) -> None:
    x = torch.stack([TIES, TIES.flip(0)]).repeat(3, 1)
    stable = torch.sort(x, dim=dim, descending=largest, stable=True)
    with TiesInOrder():
        for found in (
            torch.sort(x, dim=dim, descending=largest),
            torch.sort(x, dim=dim, descending=largest, stable=False),
        ):
            assert torch.equal(found.values, stable.values)
            assert torch.equal(found.indices, stable.indices)
        best = torch.topk(x, 3, dim=dim, largest=largest)
        alone = torch.topk(torch.tensor(2.0), 1), torch.sort(torch.tensor(2.0))
    assert torch.equal(best.indices, stable.indices.narrow(dim, 0, 3))
    assert best.values.is_contiguous()
    assert all(found.values == 2 and found.indices == 0 for found in alone)
