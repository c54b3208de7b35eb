"""What the libraries behind the stages get wrong, and the stages put right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.stages import run_stage
from pytest_htp.stages.built_in import _optimize, _renamed


class Positions(nn.Module):
    """As DETR numbers the pixels that are no padding: two operators that stay in float read the same mask."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        there = mask.to(torch.float32)
        return x * there.cumsum(0) + there.cumsum(1)


def test_half_precision_of_a_value_that_two_operators_in_float_read(tmp_path: Path) -> None:
    inputs = (torch.randn(4, 8), torch.ones(4, 8, dtype=torch.bool))
    stage = HTPExporter(stages=["fp16"]).export(Positions(), inputs, tmp_path / "m.onnx").stages["fp16"]
    assert sum(node.op_type == "CumSum" for node in stage.program.graph) == 2
    assert min(stage.output_quality.values()) > 50


class Scattered(nn.Module):
    """As mixtures of experts add up what each gives."""

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x).scatter_add(0, places, x * 2)


def test_what_the_runtime_can_not_run_is_kept_where_nothing_is_checked(tmp_path: Path) -> None:
    """Its CPU provider adds no half precision by ScatterElements."""
    inputs, path = (torch.randn(4, 8), torch.zeros(4, 8, dtype=torch.int64)), tmp_path / "m.onnx"
    refused = HTPExporter(stages=["fp16"]).export(Scattered(), inputs, path).stage_failure
    assert "ScatterElements" in str(refused)
    assert "parity=False keeps it" in str(refused)
    kept = HTPExporter(stages=["fp16"], parity=False).export(Scattered(), inputs, path).stages["fp16"]
    assert kept.coverage.none == 0


def test_static_quantization_of_a_shared_bias_whose_numbered_copy_has_the_name_of_a_value(tmp_path: Path) -> None:
    """The quantizer calls the copy of ``b`` ``b0``, which a node makes."""
    numbers = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(numbers.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("w", (4, 4, 1, 1)), ("v", (4, 4, 1, 1)), ("b", (4,)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "one"),
        helper.make_node("Transpose", ["c"], ["b0"], "turned", perm=[0, 1, 3, 2]),
        helper.make_node("Conv", ["b0", "v", "b"], ["y"], "two"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 3, 3]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    source, made = tmp_path / "m.onnx", tmp_path / "q.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), source)
    feeds = {"x": numbers.standard_normal((1, 4, 3, 3)).astype(np.float32)}
    run_stage("int8:qdq", source, made, calibration=[feeds])
    whole, quantized = (ort.InferenceSession(path).run(None, feeds)[0] for path in (source, made))
    assert np.abs(whole - quantized).max() < 0.05 * np.abs(whole).max()


def test_weights_beside_the_export_are_found_from_every_folder(tmp_path: Path) -> None:
    """What ONNX Runtime leaves untouched it refers to where it was; ``ort:all`` is described from another folder."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 100)).eval()
    exporter = HTPExporter(stages=["ort:all"], external_data=True)
    export = exporter.export(model, (torch.randn(1, 3, 8, 8),), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.data").exists()
    assert export.stage_failure is None
    assert export.stages["ort:all"].parity.first_divergence is None
    (tmp_path / "elsewhere").mkdir()
    made = tmp_path / "elsewhere/again.onnx"
    _optimize("BASIC", _renamed(tmp_path / "m.onnx", tmp_path / "elsewhere"), made, [], [])
    for file in tmp_path.glob("m.onnx*"):
        file.unlink()
    assert ort.InferenceSession(made).run(None, {"input": np.ones((1, 3, 8, 8), np.float32)})[0].shape == (1, 100)
