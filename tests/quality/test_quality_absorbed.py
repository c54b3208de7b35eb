"""An operator that took in what is no module: what leaves it is measured, against what that is in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_htp import HTPExporter
from pytest_htp.compare.engine import compare_exports
from pytest_htp.parity.references import Reference
from pytest_htp.quality.absorbed import absorbed

X = (torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)),)


class Net(nn.Module):
    """Activations that are functions, and a table that depends on no input."""

    def __init__(self, activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.activation = activation
        self.conv = nn.Conv2d(3, 16, 3)
        self.up = nn.Linear(16, 32)
        self.places = nn.Embedding(16, 32)
        self.down = nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.conv(x)).flatten(2).transpose(1, 2)[:, :16]
        x = self.activation(self.up(x)) + self.places(torch.arange(16))
        return self.down(x)


@pytest.fixture(params=[functional.relu, functional.gelu, functional.hardtanh], ids=lambda it: it.__name__)
def net(request: pytest.FixtureRequest) -> Net:
    torch.manual_seed(0)
    return Net(request.param).eval()


@pytest.mark.parametrize(("stage", "least"), [("ort:extended", 100), ("int8:qdq", 25), ("int8:dynamic", 25)])
def test_activations_that_are_functions(net: Net, tmp_path: Path, stage: str, least: float) -> None:
    export = HTPExporter(stages=[stage]).export(net, X, tmp_path / "m.onnx")
    made = export.stages[stage]
    assert made.quality.keys() >= {"", "conv", "up", "down"}
    assert min(made.quality.values()) > least, made.quality
    reasons = {row["path"]: row["reason"] for row in made.record["quality"]["modules"] if row["sqnr"] is None}
    assert reasons in ({}, {"places": "folded into a constant"})


def test_results_that_are_nowhere_beside_one_that_is_found(tmp_path: Path) -> None:
    """The last states of an LSTM are not read: nothing of its other layout is taken for them."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 6, num_layers=2, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    export = HTPExporter(stages=["ort:extended"]).export(Last(), (x,), tmp_path / "m.onnx")
    assert min(export.stages["ort:extended"].quality.values()) > 100


def test_what_is_not_finite_in_pytorch_has_no_number(tmp_path: Path) -> None:
    class Divided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x) / 0)

    torch.manual_seed(0)
    export = HTPExporter(stages=["int8:dynamic"]).export(Divided(), (torch.ones(2, 4),), tmp_path / "m.onnx")
    quality = export.stages["int8:dynamic"].record["quality"]
    without = {
        row.get("path", "output"): row["reason"]
        for row in quality["modules"] + quality["outputs"]
        if row["sqnr"] is None
    }
    assert without == dict.fromkeys(("", "second", "output"), "not finite in PyTorch")


def test_a_loss_behind_one_begins_in_its_module(tmp_path: Path) -> None:
    def record_of(bits: int) -> dict[str, object]:
        torch.manual_seed(0)
        net = Net(functional.gelu).eval()
        exporter = HTPExporter(stages=["ort:extended"], reference=net)
        torch.manual_seed(0)
        coarse = Net(functional.gelu).eval()
        step = coarse.up.weight.detach().abs().max() / 2 ** (bits - 1)
        coarse.up.weight.data = (coarse.up.weight.data / step).round() * step
        return exporter.export(coarse, X, tmp_path / f"{bits}.onnx").record

    findings = compare_exports(record_of(8), record_of(3)).findings
    assert {(it["module"], it["stage"]) for it in findings if it["code"] == "quality.worse"} == {("up", None)}


@pytest.mark.parametrize(("dtype", "found"), [(torch.float32, {0: 1}), (torch.bfloat16, {}), (torch.float64, {})])
def test_a_tensor_of_another_type_than_the_graph_has_is_left_alone(dtype: torch.dtype, found: dict[int, int]) -> None:
    given = ir.val("x", ir.DataType.FLOAT, [2, 3])
    relu = ir.node("Relu", [given])
    negated = ir.node("Neg", [relu.outputs[0]])
    for value, name in ((relu.outputs[0], "y"), (negated.outputs[0], "z")):
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape([2, 3])
    graph = ir.Graph([given], [negated.outputs[0]], nodes=[relu, negated], opset_imports={"": 20})
    y = torch.ones(2, 3, dtype=dtype)
    references = cast(Any, SimpleNamespace(items=[Reference(0, y, ("float", 6), 1.0, False, cast(Any, None))]))
    instead, named, further = absorbed(references, {0: ("y",)}, ir.Model(graph, ir_version=10), {"z"})
    assert instead == found
    assert list(named.values()) == ["z"] * len(found)
    assert all(torch.equal(reference.tensor, -y) for reference in further.values())


@pytest.mark.parametrize(("size", "found"), [(1, {0: 1}), (2, {})])
def test_behind_another_operators_weights_lies_another_result(size: int, found: dict[int, int]) -> None:
    given = ir.val("x", ir.DataType.FLOAT, [2, 2])
    weight = ir.val("w", ir.DataType.FLOAT, [size], const_value=ir.tensor([2.0] * size, dtype=ir.DataType.FLOAT))
    relu = ir.node("Relu", [given])
    scaled = ir.node("Mul", [relu.outputs[0], weight])
    for value, name in ((relu.outputs[0], "y"), (scaled.outputs[0], "z")):
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape([2, 2])
    opsets = {"": 20}
    graph = ir.Graph([given], [scaled.outputs[0]], nodes=[relu, scaled], initializers=[weight], opset_imports=opsets)
    y = torch.ones(2, 2)
    references = cast(Any, SimpleNamespace(items=[Reference(0, y, ("float", 4), 1.0, False, cast(Any, None))]))
    assert absorbed(references, {0: ("y",)}, ir.Model(graph, ir_version=10), {"z"})[0] == found
