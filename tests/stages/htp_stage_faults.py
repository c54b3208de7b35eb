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
from htp_staged import make
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

Tool = Callable[[Path, Path], object]
Found = tuple[str, str, str | None]


def dynamic(source: Path, destination: Path, **options: Any) -> None:
    quantize_dynamic(str(source), str(destination), **options)


class Once(CalibrationDataReader):  # type: ignore[misc]
    """Calibration on the example alone."""

    def __init__(self, name: str) -> None:
        self.sets = iter([{name: make()[1].numpy()}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.sets, None)


def static(source: Path, destination: Path, **options: Any) -> None:
    """As ``int8:qdq`` does, which takes no options."""
    model = onnx.load(source)
    del model.graph.value_info[:]
    quantize_static(model, destination, Once(model.graph.input[0].name), quant_format=QuantFormat.QDQ, **options)


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


def tanh_for_gelu(graph: onnx.GraphProto) -> None:
    node = nodes_of(graph, "layer.0/GELU.act", "Gelu")[0]
    node.op_type = "Tanh"
    del node.attribute[:]


def store_twice(graph: onnx.GraphProto) -> None:
    """The head reads a copy of its weight, and the weight stays."""
    head = nodes_of(graph, "Linear.head", "MatMul")[0]
    weight = next(tensor for tensor in graph.initializer if tensor.name == head.input[1])
    wide = np.concatenate([numpy_helper.to_array(weight)] * 20, axis=1)
    graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    graph.node.insert(
        0, helper.make_node("Split", ["wide"], [f"part{k}" for k in range(20)], "split", axis=1, num_outputs=20)
    )
    head.input[1] = "part0"


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
    cleaned = edit(unchanged)
    return {
        "dynamic: one layer left in float": _fault(
            {"q": dynamic}, {"q": partial(dynamic, nodes_to_exclude=[up1])}, ("quantization.lost", "q", "layer.1.up")
        ),
        "dynamic: the head left in float": _fault(
            {"q": dynamic}, {"q": partial(dynamic, nodes_to_exclude=[head])}, ("quantization.lost", "q", "head")
        ),
        "dynamic: one layer newly quantized": _fault(
            {"q": partial(dynamic, nodes_to_exclude=[up1])}, {"q": dynamic}, ("quantization.gained", "q", "layer.1.up")
        ),
        "static: one layer left in float": _fault(
            {"q": static}, {"q": partial(static, nodes_to_exclude=[up1])}, ("quantization.lost", "q", "layer.1.up")
        ),
        "static: one layer newly quantized": _fault(
            {"q": partial(static, nodes_to_exclude=[head])}, {"q": static}, ("quantization.gained", "q", "head")
        ),
        "tool: another activation in layer 0": _fault(
            {"tool": cleaned}, {"tool": edit(tanh_for_gelu)}, ("fusion.lost", "tool", "layer.0.act")
        ),
        "tool: weights stored again": _fault(
            {"tool": cleaned}, {"tool": edit(store_twice)}, ("weights.grown", "tool", None)
        ),
    }  # fmt: skip
