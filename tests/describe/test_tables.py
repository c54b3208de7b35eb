"""What code puts into a buffer is a part of the program; what a checkpoint does is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_htp import HTPExporter, compare_exports


class Rotary(nn.Module):
    def __init__(self, base: float, persistent: bool, kind: torch.dtype) -> None:
        super().__init__()
        frequencies = base ** (-torch.arange(0, 8, 2).float() / 8)
        if kind.is_complex:
            frequencies = torch.polar(torch.ones(4), frequencies)
        self.register_buffer("inv_freq", frequencies.to(kind), persistent=persistent)

    def forward(self, x: Tensor) -> Tensor:
        held = self.get_buffer("inv_freq")
        angles = torch.view_as_real(held).flatten() if held.is_complex() else held
        return (x.reshape(2, -1, angles.numel()) * angles.float()).reshape(2, 8)


class Layer(nn.Module):
    def __init__(self, index: Tensor, **rotary: Any) -> None:
        super().__init__()
        self.rotary = Rotary(**rotary)
        self.register_buffer("index", index.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.rotary(x)[..., self.get_buffer("index")].reshape(2, 8)


class Net(nn.Module):
    def __init__(self, base: float = 1e4, persistent: bool = False, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        indices = [torch.arange(8).roll(shift).reshape(2, 4) for shift in range(3)]
        self.layers = nn.ModuleList(Layer(index, base=base, persistent=persistent, kind=kind) for index in indices)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def record(model: nn.Module, folder: Path, **options: Any) -> dict[str, Any]:
    export = HTPExporter(parity=False, verbose=False, **options).export(model, (torch.ones(2, 8),), folder / "m.onnx")
    return export.record


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    return [(found.code, found.module, found.message) for found in compare_exports(before, after).findings]


def test_other_frequencies_are_told_once_for_all_layers(tmp_path: Path) -> None:
    before = record(Net(), tmp_path)
    assert {"name": "layers.1.index", "holds": "INT64 [7,0,1,2,3,4,5,6]"} in before["weights"]["tables"]
    assert "layers.{0..2}.rotary.inv_freq" in [row["name"] for row in before["weights"]["tables"]]
    ((code, module, message),) = told(before, record(Net(base=1.05e4), tmp_path))
    assert (code, module) == ("ops.changed", "layers.{0..2}.rotary")
    assert message.startswith("buffer inv_freq: FLOAT[4] ~0.277")
    assert told(before, record(Net(), tmp_path)) == []
    assert told(before, record(Net(), tmp_path, weights="none")) == []


def test_other_indices_are_told(tmp_path: Path) -> None:
    model = Net()
    model.layers[1].index = model.layers[1].get_buffer("index").flip(0)  # type: ignore[union-attr]
    ((code, module, message),) = told(record(Net(), tmp_path), record(model, tmp_path))
    assert (code, module) == ("ops.changed", "layers.1")
    assert message == "buffer index: INT64 [7,0,1,2,3,4,5,6] -> INT64 [3,4,5,6,7,0,1,2]"


def test_numbers_that_a_checkpoint_holds_are_data(tmp_path: Path) -> None:
    before, after = (record(Net(base, persistent=True), tmp_path) for base in (1e4, 2e4))
    assert told(before, after) == []


@pytest.mark.parametrize("kind", [torch.complex64, torch.float16])
def test_tables_of_other_types(kind: torch.dtype, tmp_path: Path) -> None:
    before, after = (record(Net(base, kind=kind), tmp_path) for base in (1e4, 2e4))
    ((code, module, _),) = told(before, after)
    # Cast at export: equal ones are stored once, and only the first is known by its name then.
    assert (code, module) == ("ops.changed", "layers.0.rotary")


def test_a_baseline_without_tables_is_compared_as_before(tmp_path: Path) -> None:
    before, after = record(Net(), tmp_path), record(Net(base=2e4), tmp_path)
    del before["weights"]["tables"]
    assert told(before, after) == []
