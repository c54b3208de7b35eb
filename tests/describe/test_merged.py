"""Weights that happen to be equal are stored once; what the record says does not depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, compare_exports
from pytest_htp.capture.distinct import make_parameters_distinct


class Norm(nn.Module):
    """Statistics that are equal to the bias and the weight as long as nothing is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.norm(torch.tanh(x)))


class Constant(nn.Module):
    """A constant that is equal to a norm's weight, and twice in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = torch.maximum(x, torch.tensor([1.0] * 6))
        return self.norm(once) * torch.tensor([1.0] * 6).exp() + torch.maximum(once - 1, torch.tensor([1.0] * 6))


class Folded(nn.Module):
    """A convolution without a bias, and a batch norm that is folded into it: a bias of zeros, which is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv1d(2, 2, 3, bias=False), nn.BatchNorm1d(2), nn.Conv1d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(torch.relu(self.norm(self.conv(x[None]))))
        return result


class Scaled(nn.Module):
    """Reads two equal scales, in either order."""

    def __init__(self, swapped: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(6))
        self.swapped = swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = (self.b, self.a) if self.swapped else (self.a, self.b)
        return torch.tanh(x * a) * b


def record(model: nn.Module, folder: Path, **options: Any) -> dict[str, Any]:
    exporter = HTPExporter(parity=False, verbose=False, **options)
    return exporter.export(model, torch.ones(2, 6), folder / "m.onnx").record


@pytest.mark.parametrize("kind", [Norm, Constant, Folded])
def test_weights_as_initialised_and_others_are_described_alike(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = kind().eval()
    make_parameters_distinct(other)
    fresh, trained = record(kind().eval(), tmp_path), record(other, tmp_path)
    assert compare_exports(fresh, trained).findings == ()
    assert compare_exports(trained, fresh).findings == ()


def test_which_of_two_equal_weights_is_read_is_told(tmp_path: Path) -> None:
    [finding] = compare_exports(record(Scaled(), tmp_path), record(Scaled(swapped=True), tmp_path)).findings
    assert finding.code == "ops.changed"
    assert "parameter a -> parameter b" in finding.message


def test_a_description_leaves_the_graph_as_it_was(tmp_path: Path) -> None:
    exporter = HTPExporter(parity=False, verbose=False)
    export = exporter.export(Scaled(), torch.ones(2, 6), tmp_path / "m.onnx")
    assert export.program.graph.initializers.keys() == {"a"}
    assert {value.name for node in export.program.graph for value in node.inputs if value.const_value} == {"a"}
    assert export.record["weights"]["initializers"]["count"] == 2


class Tables(nn.Module):
    """Multiplies by the cosine and the sine of one buffer, both folded at export."""

    def __init__(self, *, swapped: bool = False) -> None:
        super().__init__()
        self.register_buffer("angles", torch.linspace(0, 1, 6))
        self.swapped = swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = torch.cos(self.angles * 2), torch.sin(self.angles * 2)
        one, other = (other, one) if self.swapped else (one, other)
        return torch.tanh(x * one) - x * other


def test_tables_folded_of_one_buffer_are_told_apart(tmp_path: Path) -> None:
    before = record(Tables(), tmp_path)
    [finding] = compare_exports(before, record(Tables(swapped=True), tmp_path)).findings
    assert (finding.code, finding.module) == ("ops.changed", "")
    words = "Mul(input x, parameter angles by {0}(mul(2, angles)))"
    assert f"{words.format('cos')} -> {words.format('sin')}" in finding.message
    assert compare_exports(before, record(Tables(), tmp_path, weights="none")).findings == ()
