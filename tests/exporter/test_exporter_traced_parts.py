"""Traced modules as parts of a model: their nodes are theirs, not their caller's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.capture.program import generated_code


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.b(torch.relu(self.a(x)))


class Around(nn.Module):
    """Calls its parts one after the other, and something of its own."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return torch.tanh(self.head(x))


X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def traced(kind: str) -> nn.Module:
    model = Inner().eval()
    if kind == "symbolic":
        return torch.fx.symbolic_trace(model)
    return torch.export.export(model, (X,)).module()


@pytest.mark.parametrize("kind", ["symbolic", "exported"])
def test_nodes_of_a_traced_part_are_its_own(tmp_path: Path, kind: str) -> None:
    export = HTPExporter(exporter="torch").export(Around(traced(kind)), (X,), tmp_path / "model.onnx")
    tags = [tag.rpartition(".")[2] if "/" in tag[1:] else "" for tag in export.tags.values()]
    assert export.coverage.coverage == 100
    assert tags.count("") == 1  # Tanh
    assert sum("parts.0" in tag for tag in export.tags.values()) >= 3
    assert export.attestation is not None
    assert not export.attestation["contradicted"]


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch of its own code
def test_the_same_graph_as_without_us(tmp_path: Path) -> None:
    model = Around(traced("symbolic"), nn.Linear(3, 3)).eval()
    bare = torch.onnx.export(model, (X,), dynamo=True, verbose=False)
    ours = HTPExporter(exporter="torch").export(model, (X,), tmp_path / "model.onnx")
    assert [node.op_type for node in ours.program.graph] == [node.op_type for node in bare.model.graph]


def test_generated_code_is_told_by_its_file() -> None:
    files = generated_code(Around(traced("symbolic"), traced("symbolic")))
    assert sorted(files.values()) == ["parts.0", "parts.1"]
    assert generated_code(traced("symbolic")) == {}
