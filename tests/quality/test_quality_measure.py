"""Whole stages of real exports: every module has a number, and a planted fault begins in its module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from htp_quality_stages import Staged
from onnx import numpy_helper

from pytest_htp.quality import Quality, QualityRequest, measure_stage
from pytest_htp.quality.result import Measured


def begins(before: Mapping[str, Measured], after: Mapping[str, Measured], tolerance: float) -> list[str]:
    """Modules where a loss of more than ``tolerance`` dB begins: what they took did not lose as much.

    Of a module and one inside it, the inner one; in execution order.
    """
    lost = []
    for path, now in after.items():
        known = before.get(path)
        if known is None or known.sqnr - now.sqnr <= tolerance:
            continue
        if None not in (known.entering, now.entering) and known.entering - now.entering > tolerance:  # type: ignore[operator]
            continue
        lost.append(path)
    return [path for path in lost if not any(_inside(other, path) for other in lost if other != path)]


def _inside(path: str, enclosing: str) -> bool:
    return not enclosing or path.startswith(f"{enclosing}.")


def numbers_of(request: QualityRequest, folder: Path, change: Callable[[onnx.GraphProto], None]) -> Quality:
    proto = onnx.load(request.onnx_path)
    change(proto.graph)
    onnx.save(proto, folder / "changed.onnx")
    return measure_stage(replace(request, onnx_path=folder / "changed.onnx")).quality


def scaled(name: str, factor: float) -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        tensor = next(item for item in graph.initializer if item.name == name)
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), name))

    return change


def weight_of(request: QualityRequest, path: str) -> str:
    """The stored weight's scale of the module's matrix product or convolution."""
    node = next(
        f.node for f in request.tagging.nodes if f.path == path and f.node.op_type in ("Gemm", "Conv", "MatMul")
    )
    dequantize = node.inputs[1].producer()
    return dequantize.inputs[1].name


@pytest.mark.parametrize("name", ["bert", "convnet"])
@pytest.mark.parametrize("stage", ["int8", "fp16"])
def test_modules_have_numbers(staged: Staged, name: str, stage: str) -> None:
    measured = measure_stage(staged(name, stage))
    quality = measured.quality
    lacking = {path for path, reason in quality.undefined.items() if reason == "no value of the graph is its result"}
    assert len(quality.modules) >= 0.95 * (len(quality.modules) + len(lacking))
    assert min(quality.modules.values()) > (20 if stage == "int8" else 55)
    assert all(value > (20 if stage == "int8" else 55) for value in quality.outputs.values())
    assert measured.parity.failed == []
    assert measured.parity.attestation["contradicted"] == []
    assert measured.parity.attestation["attested"] > 0.5 * len(quality.modules)


def test_absorbed_modules_are_measured_where_their_operator_ends(staged: Staged) -> None:
    details = measure_stage(staged("convnet", "int8")).quality.details
    assert details["stages.0.0"].at == details["stages.0.1"].at == details["stages.0.2"].at


@pytest.mark.parametrize("factor", [1.5, 0.5, 8.0])
def test_a_wrong_scale_begins_in_its_module(staged: Staged, tmp_path: Path, factor: float) -> None:
    request = staged("bert", "int8")
    before = measure_stage(request).quality
    path = "encoder.layer.1.intermediate.dense"
    after = numbers_of(request, tmp_path, scaled(weight_of(request, path), factor))
    assert begins(before.details, after.details, 6) == [path]


def test_a_weight_at_four_bits_begins_in_its_module(staged: Staged, tmp_path: Path) -> None:
    request = staged("bert", "int8")
    path = "encoder.layer.0.attention.self.query"
    node = next(f.node for f in request.tagging.nodes if f.path == path and f.node.op_type == "MatMul")
    name = node.inputs[1].producer().inputs[0].name

    def coarse(graph: onnx.GraphProto) -> None:
        tensor = next(item for item in graph.initializer if item.name == name)
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(
            numpy_helper.from_array((np.round(array / 16.0) * 16).clip(-128, 127).astype(array.dtype), name)
        )

    before = measure_stage(request).quality
    after = numbers_of(request, tmp_path, coarse)
    assert begins(before.details, after.details, 6) == [path]


def test_the_same_file_loses_nothing(staged: Staged, tmp_path: Path) -> None:
    request = staged("bert", "int8")
    before = measure_stage(request).quality
    after = numbers_of(request, tmp_path, lambda graph: None)
    assert begins(before.details, after.details, 0.5) == []
    assert after.to_row() == before.to_row()
