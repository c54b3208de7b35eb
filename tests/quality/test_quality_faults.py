"""A few planted faults of quantization, through the stages and the comparison of the product.

``benchmarks/quality_faults.py`` plants hundreds in twelve models.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, compare_exports

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from quality_faults import Subject, judge, owners_of, prepare
from quantization_faults import QuantizationFault, faults


@pytest.fixture(scope="module", params=[("mlp", True), ("convnet", False)], ids=lambda param: param[0])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    name, per_channel = request.param
    return prepare(name, tmp_path_factory.mktemp("faults"), per_channel=per_channel)


def planted(subject: Subject) -> dict[str, QuantizationFault]:
    """The last fault of each kind."""
    owners = owners_of(subject.exported.tagging)
    every = faults(onnx.load(subject.good).graph, owners, wrong=onnx.load(subject.wrong).graph)
    return {fault.kind: fault for fault in every}


def test_each_kind_of_fault_is_found_where_it_is(subject: Subject, tmp_path: Path) -> None:
    told = [judge(subject, fault, tmp_path) for fault in planted(subject).values()]
    assert len(told) >= 9
    found = [entry for entry in told if entry["verdict"] not in ("harmless", "in_a_step")]
    assert len(found) >= 5
    assert [entry for entry in found if entry["verdict"] != "exact"] == []


def test_without_a_fault_nothing_is_found(subject: Subject, tmp_path: Path) -> None:
    nothing = QuantizationFault("none", "", frozenset(), lambda graph: None)
    told = judge(subject, nothing, tmp_path)
    assert (told["effect"], told["message"], told["others"]) == (0, "", [])


def head_of(seed: int, folder: Path) -> dict[str, Any]:
    """The record of a head of two logits, quantized, by its weights."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 2)).eval()
    x = torch.randn(2, 32, generator=torch.Generator().manual_seed(9))
    return HTPExporter(stages=["int8:qdq"]).export(model, (x,), folder / "m.onnx").record


def test_two_logits_with_other_weights_are_luck(tmp_path: Path) -> None:
    records = [head_of(seed, tmp_path) for seed in range(8)]
    numbers = [record["stages"][0]["quality"]["outputs"][0]["sqnr"] for record in records]
    assert max(numbers) - min(numbers) > 9  # told, but for what is known of chance
    assert all(not compare_exports(before, after).findings for before in records for after in records)
