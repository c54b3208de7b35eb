"""Models that torchao quantized, weights alone or as a program of PT2E, against their float twins."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.exporters import PT2EQuantizer

from pytest_htp import HTPExporter
from pytest_htp.compare.engine import compare_exports

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own, on being imported
    quantization = pytest.importorskip(
        "torchao.quantization", reason="torchao is not installed (pip install torchao; tox -e newest has it)"
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

X = (torch.randn(4, 32, generator=torch.Generator().manual_seed(1)),)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(32, 64)
        self.act = nn.GELU()
        self.down = nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.act(self.up(x)))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def with_int8_weights(net: Net) -> Net:
    model = copy.deepcopy(net)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    return model


def with_pt2e(net: Net) -> nn.Module:
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(net, X).module(), quantizer)
    prepared(*X)
    return convert_pt2e(prepared)


@pytest.mark.parametrize("quantized", [with_int8_weights, with_pt2e])
def test_numbers_against_the_float_twin(net: Net, tmp_path: Path, quantized) -> None:
    export = HTPExporter(reference=net, stages=["ort:extended"]).export(quantized(net), X, tmp_path / "m.onnx")
    assert export.parity.failed == []
    assert export.coverage.none == 0
    for quality in (export.quality, export.stages["ort:extended"].quality):
        assert set(quality) == {"", "up", "act", "down"}
        assert all(25 < number < 60 for number in quality.values()), quality
    (number,) = export.output_quality.values()
    assert number == pytest.approx(export.quality[""])


@pytest.mark.parametrize("quantized", [with_int8_weights, with_pt2e])
def test_a_wrong_scale_is_found_in_its_module(net: Net, tmp_path: Path, quantized) -> None:
    good = HTPExporter(reference=net).export(quantized(net), X, tmp_path / "good.onnx")
    wrong = copy.deepcopy(net)
    wrong.down.weight.data *= 1.5
    worse = HTPExporter(reference=net).export(quantized(wrong), X, tmp_path / "wrong.onnx")
    assert worse.parity.failed == []
    (finding,) = [it for it in compare_exports(good.record, worse.record).findings if it["code"] == "quality.worse"]
    assert finding["module"] == "down"


def test_the_exporters_own_quantizer_of_pt2e(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip
    ids = {"input_ids": torch.arange(1, 9).reshape(1, 8)}
    x86_quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    quantizer = PT2EQuantizer(x86_quantizer, calibration_dataset=[ids])
    export = HTPExporter(quantizer=quantizer).export(BertModel(config).eval(), ids, tmp_path / "m.onnx")
    assert "DequantizeLinear" in {node.op_type for node in export.program.graph}
    assert export.coverage.none == 0
    assert len(export.quality) > 15
    assert min(export.quality.values()) > 20, export.quality
