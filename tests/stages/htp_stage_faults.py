"""Faults that only a stage shows: a pipeline as it was recorded, the same with something gone wrong, what must be said.

Expected are all findings of the stages, as (code, stage, module). The export is the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

Tool = Callable[[Path, Path], object]
Found = tuple[str, str, str | None]


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self._left = iter([{"x": np.random.default_rng(0).standard_normal((2, 8, 16)).astype(np.float32)}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def static(source: Path, destination: Path, **options: Any) -> None:
    quantize_static(str(source), str(destination), _Samples(), **options)


def dynamic(source: Path, destination: Path, **options: Any) -> None:
    quantize_dynamic(str(source), str(destination), **options)


def half(source: Path, destination: Path, **options: Any) -> None:
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True, **options)
    casts = [node for node in model.graph.node if node.input[0] == "x"]
    for node in casts:  # it appends the Casts of inputs behind their readers
        model.graph.node.remove(node)
        model.graph.node.insert(0, node)
    onnx.save(model, destination)


def optimize(source: Path, destination: Path, *, without: tuple[str, ...] = (), level: str = "EXTENDED") -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(destination)
    options.log_severity_level = 4
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without))


def edit(change: Callable[[onnx.GraphProto], None]) -> Tool:
    """The file with its graph changed."""

    def tool(source: Path, destination: Path) -> None:
        model = onnx.load(source)
        change(model.graph)
        onnx.save(model, destination)

    return tool


def unchanged(graph: onnx.GraphProto) -> None:
    pass


def nodes_of(graph: onnx.GraphProto, module: str, op_type: str) -> list[onnx.NodeProto]:
    """Nodes that are tagged with a module."""
    tag = {"layer.0.norm": "layer.0/LayerNorm.norm", "layer.1.norm": "layer.1/LayerNorm.norm"}.get(module, module)
    return [
        node for node in graph.node
        if node.op_type == op_type
        and any(prop.key.endswith("hierarchy.tag") and tag in prop.value for prop in node.metadata_props)
    ]  # fmt: skip


def cast_before_norm(graph: onnx.GraphProto) -> None:
    """An innocent pair of Casts where layer 1 adds and normalizes."""
    norm = nodes_of(graph, "layer.1.norm", "LayerNormalization")[0]
    before = norm.input[0]
    norm.input[0] = "cast_back"
    position = list(graph.node).index(norm)
    graph.node.insert(position, helper.make_node("Cast", ["cast_there"], ["cast_back"], "back", to=TensorProto.FLOAT))
    graph.node.insert(position, helper.make_node("Cast", [before], ["cast_there"], "there", to=TensorProto.FLOAT16))


def tanh_for_gelu(graph: onnx.GraphProto) -> None:
    node = nodes_of(graph, "layer.0/GELU.act", "Gelu")[0]
    node.op_type = "Tanh"
    del node.attribute[:]


def rename_output(graph: onnx.GraphProto) -> None:
    old = graph.output[0].name
    graph.output[0].name = "renamed"
    for node in graph.node:
        node.output[:] = ["renamed" if name == old else name for name in node.output]


def store_twice(graph: onnx.GraphProto) -> None:
    """The head reads a copy of its weight, and the weight stays."""
    head = nodes_of(graph, "Linear.head", "MatMul")[0]
    weight = next(tensor for tensor in graph.initializer if tensor.name == head.input[1])
    wide = np.concatenate([numpy_helper.to_array(weight)] * 20, axis=1)
    graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    graph.node.insert(0, helper.make_node("Split", ["wide"], [f"part{k}" for k in range(20)], "split", axis=1, num_outputs=20))
    head.input[1] = "part0"


def unquantized(graph: onnx.GraphProto) -> None:
    pass


@dataclass(frozen=True)
class Fault:
    """``before`` and ``after``: stage name → tool; ``expected``: codes that must be there, by stage and module."""

    before: Mapping[str, Tool]
    after: Mapping[str, Tool]
    expected: frozenset[Found]


def _fault(before: Mapping[str, Tool], after: Mapping[str, Tool], *expected: Found) -> Fault:
    return Fault(before, {**before, **after}, frozenset(expected))


def faults(nodes: Mapping[str, str]) -> dict[str, Fault]:
    """The catalogue; ``nodes``: module path → name of its MatMul."""
    up1, head = nodes["layer.1.up"], nodes["head"]
    cleaned, optimized = edit(unchanged), {"ort": optimize}
    pipeline = {"tool": cleaned, "ort": optimize}
    return {
        "static: one layer left in float": _fault(
            {"q": static}, {"q": partial(static, nodes_to_exclude=[up1])}, ("quantization.lost", "q", "layer.1.up")
        ),
        "static: the head left in float": _fault(
            {"q": static}, {"q": partial(static, nodes_to_exclude=[head])}, ("quantization.lost", "q", "head")
        ),
        "static: MatMul excluded": _fault(
            {"q": static},
            {"q": partial(static, op_types_to_quantize=["Add", "Gelu", "LayerNormalization"])},
            ("quantization.lost", "q", "layer.{0..1}.up"),
            ("quantization.lost", "q", "layer.{0..1}.down"),
            ("quantization.lost", "q", "head"),
        ),
        "dynamic: one layer left in float": _fault(
            {"q": dynamic}, {"q": partial(dynamic, nodes_to_exclude=[up1])}, ("quantization.lost", "q", "layer.1.up")
        ),
        "dynamic: the head left in float": _fault(
            {"q": dynamic}, {"q": partial(dynamic, nodes_to_exclude=[head])}, ("quantization.lost", "q", "head")
        ),
        "dynamic: one layer newly quantized": _fault(
            {"q": partial(dynamic, nodes_to_exclude=[up1])}, {"q": dynamic}, ("quantization.gained", "q", "layer.1.up")
        ),
        "optimizer: a Cast keeps layer 1 from fusing": _fault(
            pipeline, {"tool": edit(cast_before_norm)}, ("fusion.lost", "ort", "layer.1.norm")
        ),
        "optimizer: SkipLayerNormalization switched off": _fault(
            optimized, {"ort": partial(optimize, without=("SkipLayerNormFusion",))},
            ("fusion.lost", "ort", "layer.{0..1}.norm"),
        ),
        "tool: another activation in layer 0": _fault(
            {"tool": cleaned}, {"tool": edit(tanh_for_gelu)}, ("fusion.lost", "tool", "layer.0.act")
        ),
        "tool: an output renamed": _fault({"tool": cleaned}, {"tool": edit(rename_output)}, ("io.renamed", "tool", None)),
        "tool: weights stored again": _fault({"tool": cleaned}, {"tool": edit(store_twice)}, ("weights.grown", "tool", None)),
        "half: normalization kept in fp32": _fault(
            {"h": half}, {"h": partial(half, op_block_list=["LayerNormalization"])},
            ("dtype.internal", "h", "layer.{0..1}.norm"),
        ),
        "half: one layer kept in fp32": _fault(
            {"h": half}, {"h": partial(half, node_block_list=[up1])}, ("dtype.internal", "h", "layer.1.up")
        ),
    }  # fmt: skip
