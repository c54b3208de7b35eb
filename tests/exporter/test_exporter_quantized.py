"""Exports that are quantized themselves: by a quantizer of transformers' exporter, or before, with a float twin."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.exporters import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

from pytest_htp import HTPExporter, HTPExportError
from pytest_htp.compare.engine import compare_exports
from pytest_htp.errors import HTPUsageError
from pytest_htp.exporter.options import ExportOptions

X = (torch.randn(3, 8, generator=torch.Generator().manual_seed(1)),)


class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.act = nn.GELU()
        self.down = nn.Linear(16, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.up(x)))


def rounded(net: nn.Module, bits: int = 8, only: str = "") -> nn.Module:
    """The model with weights in steps, as a quantizer that works on modules leaves it."""
    made = copy.deepcopy(net)
    for name, module in made.named_modules():
        if isinstance(module, nn.Linear) and only in name:
            step = module.weight.detach().abs().max() / 2 ** (bits - 1)
            module.weight.data = (module.weight.data / step).round() * step
    return made


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def bert() -> BertModel:
    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16,
        )
    ).eval()  # fmt: skip


IDS = {"input_ids": torch.arange(1, 9).reshape(1, 8)}


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_quantizer_of_the_exporters(bert: BertModel, tmp_path: Path, *, dynamic: bool) -> None:
    config = OnnxRuntimeDynamicConfig() if dynamic else None
    quantizer = OnnxRuntimeQuantizer(config, calibration_dataset=None if dynamic else [IDS])
    export = HTPExporter(quantizer=quantizer).export(bert, IDS, tmp_path / "m.onnx")
    operators = {node.op_type for node in export.program.graph}
    assert operators & ({"MatMulInteger"} if dynamic else {"QuantizeLinear"})
    assert export.coverage.none == 0
    assert "encoder.layer.0.intermediate.dense" in export.quality
    assert min(export.quality.values()) > 15
    assert export.record["parity"]["failed"] == []
    assert export.record["quality"]["measured"]
    assert "quantize" not in vars(quantizer)


def test_quality_of_a_quantized_model_is_measured_against_its_twin(net: Net, tmp_path: Path) -> None:
    training = net.training
    export = HTPExporter(reference=net, stages=["int8:dynamic"]).export(rounded(net), X, tmp_path / "m.onnx")
    assert export.parity.failed == []
    assert set(export.quality) == {"", "up", "act", "down"}
    assert all(25 < value < 70 for value in export.quality.values())
    assert all(export.stages["int8:dynamic"].quality[path] <= value + 1 for path, value in export.quality.items())
    assert net.training is training
    worse = HTPExporter(reference=net).export(rounded(rounded(net), 3, "down"), X, tmp_path / "w.onnx")
    before = {key: value for key, value in export.record.items() if key != "stages"}
    (finding,) = [it for it in compare_exports(before, worse.record).findings if it["code"] == "quality.worse"]
    assert (finding["module"], finding["stage"]) == ("down", None)


def test_a_reference_that_is_made_when_needed(net: Net, tmp_path: Path) -> None:
    export = HTPExporter(reference=lambda: net).export(rounded(net), X, tmp_path / "m.onnx")
    assert export.output_quality
    assert HTPExporter(reference=net, parity=False).export(rounded(net), X, tmp_path / "n.onnx").quality == {}


class Other(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Net(5), "reference= gives outputs of shapes [[3, 5]], the model of [[3, 4]]"),
        (nn.Linear(3, 4), "reference= can't be run on the model's inputs (RuntimeError: "),
        (
            Other(),
            "reference= has another structure: of its 2 modules with parameters the model lacks 2 ('one', 'two')",
        ),
        (42, "int 42"),
    ],
)
def test_a_reference_that_is_none(net: Net, tmp_path: Path, reference: Any, message: str) -> None:
    with pytest.raises(HTPExportError) as raised:
        HTPExporter(reference=reference).export(rounded(net), X, tmp_path / "m.onnx")
    assert message in str(raised.value)
    assert isinstance(raised.value.cause, HTPUsageError)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"quantizer": "int8"},
            "must be a quantizer object of transformers.exporters, such as OnnxRuntimeQuantizer(), got",
        ),
        ({"quantizer": OnnxRuntimeQuantizer}, "got OnnxRuntimeQuantizer"),
        (
            {"quantizer": OnnxRuntimeQuantizer(), "exporter": "torch"},
            "is for transformers' exporter, and exporter='torch'",
        ),
        ({"quantizer": OnnxRuntimeQuantizer(), "reference": Net()}, "the model itself is the float twin"),
        ({"quantizer": OnnxRuntimeQuantizer(), "weights": "none"}, "quantizer= is about weights"),
        ({"reference": Net(), "weights": "none"}, "reference= is about weights"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HTPUsageError) as raised:
        ExportOptions(**options)
    assert message in str(raised.value)


def test_a_quantizer_needs_a_model_of_transformers(net: Net, tmp_path: Path) -> None:
    with pytest.raises(
        HTPExportError, match=r"quantizer=OnnxRuntimeQuantizer\(…\) needs a transformers PreTrainedModel"
    ):
        HTPExporter(quantizer=OnnxRuntimeQuantizer()).export(net, X, tmp_path / "m.onnx")
