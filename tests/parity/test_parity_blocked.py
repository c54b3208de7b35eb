"""Values in blocks of channels come out of a session as those of the graph that they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pytest_htp.parity.blocked import block_size
from pytest_htp.parity.session import ValueSession
from pytest_htp.stages.built_in import optimize

CPU = ("CPUExecutionProvider",)


def convolution(x: str, y: str, channels: tuple[int, int], weights: list[onnx.TensorProto]) -> onnx.NodeProto:
    random = np.random.default_rng(len(weights))
    weights.append(numpy_helper.from_array(random.standard_normal((*channels, 1, 1)).astype(np.float32), f"{y}.weight"))
    return helper.make_node("Conv", [x, f"{y}.weight"], [y], y, kernel_shape=[1, 1])


def saved(path: Path, channels: int, *, size: int | str) -> Path:
    """Two convolutions added, scaled and squashed, and a pool; the second again read by a third, so that it is kept."""
    weights: list[onnx.TensorProto] = []
    scales = [numpy_helper.from_array(np.linspace(n, n + 1, channels, dtype=np.float32), f"n{n}") for n in range(1, 5)]
    nodes = [
        convolution("x", "first", (channels, 8), weights),
        convolution("x", "second", (channels, 8), weights),
        helper.make_node("Sigmoid", ["second"], ["active"], "active"),
        helper.make_node("Add", ["first", "active"], ["sum"], "sum"),
        helper.make_node("BatchNormalization", ["sum", *(scale.name for scale in scales)], ["normed"], "normed"),
        helper.make_node("Add", ["normed", "second"], ["y"], "y"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8, size, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, channels, size, 3])
    graph = helper.make_graph(nodes, "g", [x], [y], weights + scales)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def values(path: Path, x: torch.Tensor) -> dict[str, torch.Tensor]:
    names = {name: 0 for node in onnx.load(path).graph.node for name in node.output}
    return dict(ValueSession(path, names, CPU).run({"x": x}))


@pytest.mark.parametrize("size", [5, "size"])
@pytest.mark.parametrize("channels", [16, 13])
def test_each_value_is_one_of_the_graph_before(tmp_path: Path, channels: int, size: int | str) -> None:
    source, optimized = saved(tmp_path / "plain.onnx", channels, size=size), tmp_path / "blocked.onnx"
    optimize("ALL", source, optimized)
    nodes = onnx.load(optimized).graph.node
    if all(node.domain != "com.microsoft.nchwc" for node in nodes):
        pytest.skip("no blocked layout for this CPU")
    x = torch.randn(2, 8, 5, 3, generator=torch.Generator().manual_seed(0))
    before = [x, *values(source, x).values()]
    print([(node.op_type, node.input, node.output) for node in nodes])
    for name, value in values(optimized, x).items():
        print(name, value.shape, block_size())
        assert any(value.shape == known.shape and torch.allclose(value, known, atol=1e-5) for known in before)
