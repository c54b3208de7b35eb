"""Further input sets: what is right for the example inputs only must not pass."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from torch import nn

from fixtures import config_dir
from pytest_htp import HTPExport, HTPExporter, HTPExportError, compare_exports
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.parity.further import derived_sets

T = torch.Tensor


class Mean(nn.Module):
    """Exported, it divides by the example's length, as hand-written branches for exporters do."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.proj(x)
        return y.sum(1) / 16 if torch.compiler.is_exporting() else y.mean(1)


class Masked(nn.Module):
    """Exported, it forgets its mask."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.proj(x)
        return y if torch.compiler.is_exporting() else y * attention_mask[..., None]


class Counting(nn.Module):
    """Answers differently every time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count()  # what a module can't be given back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if torch.compiler.is_exporting() else x + min(next(self.calls), 1)


def export(folder: Path, model: Any, inputs: Any, **options: Any) -> HTPExport:
    return HTPExporter(**options).export(model, inputs, folder / "m.onnx")


X = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(1))


def test_an_export_that_is_right_only_at_its_length_fails(tmp_path: Path) -> None:
    made = export(tmp_path, Mean().eval(), X, dynamic=True)
    assert [output.failed for output in made.parity.outputs] == [False], "right on the example"
    assert list(made.parity.input_sets) == ["other sizes"]
    assert len(made.parity.failed) == 1
    assert made.record["parity"]["failed_on"] == ["other sizes"]
    [finding] = [found for found in compare_exports(made.record, made.record).findings if found.code == "parity.failed"]
    assert "(with other sizes)" in finding.message


def test_without_dynamic_axes_there_are_no_other_sizes(tmp_path: Path) -> None:
    made = export(tmp_path, Mean().eval(), X)
    assert made.parity.input_sets == {}
    assert made.parity.failed == []


def test_an_export_that_forgets_its_mask_fails(tmp_path: Path) -> None:
    made = export(tmp_path, Masked().eval(), {"x": X, "attention_mask": torch.ones(2, 16, dtype=torch.int64)})
    assert [output.failed for output in made.parity.outputs] == [False], "right without padding"
    assert made.record["parity"]["failed_on"] == ["padding"]


class Once(nn.Module):
    """Returns a tensor less when it is asked outside of an export the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if torch.compiler.is_exporting():
            return x * 2, x + 1
        return (x * 2,) if next(self.calls) else (x * 2, x + 1)


@pytest.mark.parametrize("model", [Counting, Once])
def test_a_model_that_answers_differently_again_gets_no_further_sets(model: type[nn.Module], tmp_path: Path) -> None:
    assert export(tmp_path, model(), X, dynamic=True).parity.input_sets == {}


def test_sizes_that_pytorch_refuses_leave_another_batch(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).eval()
    made = export(tmp_path, model, X, dynamic_shapes=({0: "batch"},))
    assert list(made.parity.input_sets) == ["other sizes"], "the batch is the only axis that changes"
    assert made.parity.failed == []


def test_a_graph_without_dynamic_axes_has_no_other_sizes(tmp_path: Path) -> None:
    inputs = {"x": X, "attention_mask": torch.ones(2, 16, dtype=torch.int64)}
    made = export(tmp_path, Masked().eval(), inputs)
    assert list(made.parity.input_sets) == ["padding"]
    assert made.record["parity"]["failed_on"] == ["padding"], "the export forgot the mask"


@pytest.mark.parametrize("name", ["bert", pytest.param("t5", marks=pytest.mark.slow)])
def test_a_right_export_agrees_on_all_sets(name: str, tmp_path: Path) -> None:
    made = export(tmp_path, config_dir(name), None, dynamic=True)
    assert sorted(made.parity.input_sets) == ["other sizes", "padding"]
    assert made.parity.failed == []
    assert "failed_on" not in made.record["parity"]


def test_given_sets_are_compared(tmp_path: Path) -> None:
    given = [torch.randn(2, 16, 8), X[:1]]
    fixed = export(tmp_path, Mean().eval(), X, parity_inputs=given)
    assert fixed.record["parity"]["failed_on"] == ["given 2"], "the graph takes batches of two"
    mismatch = fixed.parity.input_sets["given 2"][0].shape_mismatch
    assert mismatch is not None
    assert "fits none of the tensors" in mismatch
    free = export(tmp_path, Mean().eval(), X, parity_inputs=given, dynamic_shapes=({0: "batch"},))
    assert free.parity.failed == []


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (X, "option parity_inputs must be a list of input sets, got Tensor; put a single one into a list"),
        ([{"y": X}], "parity_inputs, set 1: Mean.forward has no input 'y'; it takes x"),
        ([X, torch.ones(2, 16, 5)], "parity_inputs, set 2: the model itself raises on it: RuntimeError: "),
    ],
)
def test_a_bad_set_is_named(sets: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises((HTPExportError, ValueError)) as caught:
        export(tmp_path, Mean().eval(), X, parity_inputs=sets)
    assert message in str(caught.value)
    assert not (tmp_path / "m.onnx").exists()


class Refuses(nn.Module):
    """Thirteen inputs, of which one alone may have another size."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free

    def forward(self, a: T, b: T, c: T, d: T, e: T, f: T, g: T, h: T, i: T, j: T, k: T, m: T, n: T) -> T:
        given = (a, b, c, d, e, f, g, h, i, j, k, m, n)
        if any(len(x) != 4 + place for place, x in enumerate(given) if place != self.free):
            raise ValueError("another size")
        return torch.stack([x.sum() for x in given])


@pytest.mark.parametrize(("free", "names"), [(11, ["other sizes"]), (12, [])])
def test_twelve_groups_of_axes_are_tried_one_by_one(free: int, names: list[str]) -> None:
    model = Refuses(free)
    inputs = tuple(torch.ones(4 + place) for place in range(13))
    prepared = make_inputs(model, inputs)
    values = [
        ir.Value(name=name, shape=ir.Shape([f"size_{name}"]), type=ir.TensorType(ir.DataType.FLOAT))
        for name in prepared.named
    ]
    program = ir.Model(ir.Graph(values, [], nodes=[], opset_imports={"": 20}), ir_version=10)
    assert [each.name for each in derived_sets(model, prepared, model(*inputs), program)] == names
