"""A few planted faults of quantization, through the stages and the comparison of the product.

``benchmarks/quality_faults.py`` plants hundreds in twelve models.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

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
