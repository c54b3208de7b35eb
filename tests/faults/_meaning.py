"""The catalogue of changes of meaning: one operator a module, and edits of what it is given.

All share one export, whose graph is edited and put back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.semantic_mutations import Subject, subject_of
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Finding
from tests.faults._edits import constant

Edit = Callable[[ir.Model, ir.Node], object]


class Apply(nn.Module):
    """One function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values)


PLACES = torch.tensor([2, 0, 3, 3]).reshape(1, 4, 1)
GRID = F.affine_grid(torch.eye(2, 3).expand(2, 2, 3) * 0.7, [2, 1, 4, 6], align_corners=False)

TWO: dict[str, Callable[..., Tensor]] = {
    "sub": lambda x, y: x - y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "matmul": lambda x, y: x @ y.transpose(1, 2),
    "less": lambda x, y: (x < y).float(),
    "fmod": lambda x, y: torch.fmod(x, y),
    "concat": lambda x, y: torch.cat([x, y], 1),
    "where": lambda x, y: torch.where(x > 0, x * 2.0, y),
    "both": lambda x, y: (x.abs() - y) * x.abs(),
}
ONE: dict[str, Callable[..., Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "norm": lambda x: F.layer_norm(x, (6,)),
    "gelu": lambda x: F.gelu(x),
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 0.5),
    "celu": lambda x: F.celu(x, 0.5),
    "cumsum": lambda x: x.cumsum(1),
    "argmax": lambda x: x.argmax(1).float(),
    "transpose": lambda x: x.permute(0, 2, 1),
    "max_pool": lambda x: F.max_pool1d(x, 2),
    "avg_pool": lambda x: F.avg_pool1d(x, 3, padding=1),
    "pad": lambda x: F.pad(x, (1, 2), value=0.5),
    "tril": lambda x: x.tril(),
    "to_half": lambda x: x.to(torch.float16).float(),
    "add": lambda x: x + 0.25,
    "scale": lambda x: x * 1.5,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "slice": lambda x: x[:, 1:3],
    "reshape": lambda x: x.reshape(2, 3, 8),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "mean": lambda x: x.mean(1),
    "select": lambda x: x[:, 2],
    "expand": lambda x: x[:, :1].expand(2, 5, 6),
    "tile": lambda x: x.repeat(1, 2, 1),
    "topk": lambda x: x.topk(2, -1)[0],
    "chunk": lambda x: torch.mul(*x.chunk(2, -1)) - x[..., :3],
    "table": lambda x: x @ torch.linspace(-1, 1, 60).reshape(6, 10),
    "mask": lambda x: x.masked_fill(torch.arange(48).reshape(2, 4, 6) % 5 == 0, 0.0),
    "einsum": lambda x: torch.einsum("bij,bkj->bik", x, x * 2),
    "reflect": lambda x: F.pad(x, (1, 2), mode="reflect"),
    "resize": lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
    "nearest": lambda x: F.interpolate(x, size=9, mode="nearest"),
    "grid": lambda x: F.grid_sample((x * 3.0).unsqueeze(1), GRID, align_corners=False),
    "scatter": lambda x: torch.zeros(2, 4, 6).scatter_add(1, PLACES.expand(2, 4, 6), x),
    "put": lambda x: x.index_put((torch.tensor([0]), torch.tensor([1])), x[1, 2], accumulate=True),
    "shuffle": lambda x: F.pixel_shuffle(x.reshape(2, 4, 2, 3), 2),
    "one_hot": lambda x: F.one_hot((x[..., 0] > 1).long(), 3).float(),
    "ceil": lambda x: F.max_pool1d(x, 4, 3, ceil_mode=True),
    "include": lambda x: F.avg_pool1d(x, 3, padding=1, count_include_pad=False),
    "instance": lambda x: F.instance_norm(x),
    "gather": lambda x: x.gather(1, PLACES.expand(2, 4, 6)),
    "fake": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 3, -128, 127),
    "split": lambda x: torch.cat(x.split([1, 2, 3], -1)[::-1], -1),
    "branch": lambda x: torch.cond(x.sum() > 50, lambda t: t - 0.5, lambda t: t / 0.25, (x,)),
    "half_up": lambda x: x.to(torch.int32).float(),
    "deviation": lambda x: x.std(-1, keepdim=True),
    "minimum": lambda x: x.argmin(1, keepdim=True).float(),
    "best": lambda x: torch.sub(x.sin().topk(2, -1)[0], x.cos().topk(2, -1, largest=False)[0]),
    "hard": lambda x: F.hardsigmoid(x),
    "flip": lambda x: x.flip(1),
}


class Operators(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.two = nn.ModuleDict({name: Apply(function) for name, function in TWO.items()})
        self.one = nn.ModuleDict({name: Apply(function) for name, function in ONE.items()})
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        several = [module(x, y) for module in self.two.values()] + [module(x) for module in self.one.values()]
        return (*several, self.conv(x), self.gru(x)[0], self.lstm(x)[0])


def swap(first: int = 0, second: int = 1) -> Edit:
    def edit(_: ir.Model, node: ir.Node) -> None:
        a, b = node.inputs[first], node.inputs[second]
        node.replace_input_with(first, b)
        node.replace_input_with(second, a)

    return edit


def attribute(name: str, value: Any) -> Edit:
    def edit(_: ir.Model, node: ir.Node) -> None:
        node.attributes[name] = ir.convenience.convert_attribute(name, value)

    return edit


def other(place: int, value: Any) -> Edit:
    def edit(model: ir.Model, node: ir.Node) -> None:
        old = node.inputs[place]
        assert old is not None
        assert old.const_value is not None
        array = np.asarray(value(np.array(old.const_value.numpy())), dtype=old.const_value.numpy().dtype)
        node.replace_input_with(place, constant(model, "edited", array))

    return edit


def stored(place: int, value: Any) -> Edit:
    """Another content of what is stored already."""

    def edit(_: ir.Model, node: ir.Node) -> None:
        old = node.inputs[place]
        assert old is not None
        assert old.const_value is not None
        old.const_value = ir.tensor(value(np.array(old.const_value.numpy())), name=old.name)

    return edit


def outputs(_: ir.Model, node: ir.Node) -> None:
    a, b = node.outputs[:2]
    uses = [(use.node, use.idx, value) for value in (a, b) for use in value.uses()]
    for reader, place, value in uses:
        reader.replace_input_with(place, b if value is a else a)


def branches(_: ir.Model, node: ir.Node) -> None:
    one, other = node.attributes["then_branch"].value, node.attributes["else_branch"].value
    node.attributes["then_branch"] = ir.AttrGraph("then_branch", other)
    node.attributes["else_branch"] = ir.AttrGraph("else_branch", one)


# Module, operator, edit, words of the message.
Meaning = tuple[str, str, Edit, str]

MEANINGS: tuple[Meaning, ...] = (
    ("two.sub", "Sub", swap(), "Sub: inputs exchanged"),
    ("two.div", "Div", swap(), "Div: inputs exchanged"),
    ("two.pow", "Pow", swap(), "Pow: inputs exchanged"),
    ("two.matmul", "MatMul", swap(), "MatMul: inputs exchanged"),
    ("two.less", "Less", swap(), "Less: inputs exchanged"),
    ("two.fmod", "Mod", swap(), "Mod: inputs exchanged"),
    ("two.concat", "Concat", swap(), "Concat: order of inputs: "),
    ("two.concat", "Concat", attribute("axis", 2), "Concat: axis 1 -> -1"),
    ("two.where", "Where", swap(1, 2), "Where: inputs exchanged"),
    ("two.both", "Sub", swap(), "Sub: inputs exchanged"),
    ("one.softmax", "Softmax", attribute("axis", 1), "Softmax: axis -1 -> 1"),
    ("one.log_softmax", "LogSoftmax", attribute("axis", 0), "LogSoftmax: axis -1 -> 0"),
    ("one.norm", "LayerNormalization", attribute("epsilon", 1e-3), "LayerNormalization: epsilon default -> 0.001"),
    ("one.norm", "LayerNormalization", attribute("axis", 1), "LayerNormalization: axis -1 -> 1"),
    ("one.gelu", "Gelu", attribute("approximate", "tanh"), "Gelu: approximate default -> tanh"),
    ("one.leaky", "LeakyRelu", attribute("alpha", 0.2), "LeakyRelu: alpha 0.1 -> 0.2"),
    ("one.elu", "Elu", attribute("alpha", 1.0), "Elu: alpha 0.5 -> default"),
    ("one.celu", "Celu", attribute("alpha", 0.7), "Celu: alpha 0.5 -> 0.7"),
    ("one.cumsum", "CumSum", attribute("reverse", 1), "CumSum: reverse default -> 1"),
    ("one.cumsum", "CumSum", attribute("exclusive", 1), "CumSum: exclusive default -> 1"),
    ("one.argmax", "ArgMax", attribute("axis", 2), "ArgMax: axis 1 -> -1"),
    ("one.argmax", "ArgMax", attribute("select_last_index", 1), "ArgMax: select_last_index default -> 1"),
    ("one.transpose", "Transpose", attribute("perm", (1, 2, 0)), "Transpose: perm [0,2,1] -> [1,2,0]"),
    ("one.max_pool", "MaxPool", attribute("kernel_shape", (3,)), "MaxPool: kernel_shape [2] -> [3]"),
    ("one.max_pool", "MaxPool", attribute("strides", (1,)), "MaxPool: strides [2] -> default"),
    ("one.avg_pool", "AveragePool", attribute("pads", (0, 2)), "AveragePool: pads [1,1] -> [0,2]"),
    ("one.pad", "Pad", attribute("mode", "reflect"), "Pad: mode default -> reflect"),
    ("one.tril", "Trilu", attribute("upper", 1), "Trilu: upper 0 -> default"),
    ("one.add", "Add", other(1, lambda x: x * 2), "FLOAT 0.25 -> FLOAT 0.5"),
    ("one.scale", "Mul", other(1, lambda x: x + 1), "FLOAT 1.5 -> FLOAT 2.5"),
    ("one.clamp", "Clip", other(1, lambda x: x * 2), "Clip: input 2 FLOAT -0.5 -> FLOAT -1"),
    ("one.clamp", "Clip", other(2, lambda x: x * 2), "Clip: input 3 FLOAT 0.5 -> FLOAT 1"),
    ("one.slice", "Slice", other(1, lambda x: x * 0), "Slice: input 2 INT64 [1] -> INT64 [0]"),
    ("one.slice", "Slice", other(2, lambda x: x + 1), "Slice: input 3 INT64 [3] -> INT64 [4]"),
    ("one.slice", "Slice", other(3, lambda x: x + 1), "Slice: input 4 INT64 [1] -> INT64 [2]"),
    ("one.reshape", "Reshape", other(1, lambda x: x[::-1]), "Reshape: input 2 INT64 [2,3,8] -> INT64 [8,3,2]"),
    ("one.unsqueeze", "Unsqueeze", other(1, lambda x: x + 1), "Unsqueeze: input 2 INT64 [1] -> INT64 [2]"),
    ("one.mean", "ReduceMean", other(1, lambda x: x + 1), "ReduceMean: input 2 INT64 [1] -> INT64 [2]"),
    ("one.mean", "ReduceMean", attribute("keepdims", 1), "ReduceMean: keepdims 0 -> default"),
    ("one.select", "Gather", other(1, lambda x: x - 1), "Gather: input 2 INT64 2 -> INT64 1"),
    ("one.select", "Gather", attribute("axis", 0), "Gather: axis 1 -> 0"),
    ("one.expand", "Expand", other(1, lambda x: x + 1), "Expand: input 2"),
    ("one.tile", "Tile", other(1, lambda x: x + 1), "Tile: input 2"),
    ("one.topk", "TopK", other(1, lambda x: x + 1), "TopK: input 2 INT64 [2] -> INT64 [3]"),
    ("one.topk", "TopK", attribute("largest", 0), "TopK: largest default -> 0"),
    ("one.topk", "TopK", attribute("axis", 0), "TopK: axis -1 -> 0"),
    ("one.chunk", "Sub", swap(), "Sub: inputs exchanged"),
    ("one.table", "MatMul", stored(1, lambda x: np.roll(x, 1)), "MatMul: input 2 FLOAT[6x10] ~"),
    ("one.mask", "Where", swap(1, 2), "Where: inputs exchanged"),
    ("one.mask", "Where", stored(0, lambda x: ~x), "Where: input 1 BOOL[2x4x6]"),
    ("one.einsum", "Einsum", attribute("equation", "bij,bkj->bki"), "equation bij,bkj->bik -> bij,bkj->bki"),
    ("one.einsum", "Einsum", swap(), "Einsum: inputs exchanged"),
    ("one.reflect", "Pad", attribute("mode", "edge"), "Pad: mode reflect -> edge"),
    ("one.reflect", "Pad", other(1, lambda x: x[::-1]), "INT64 [0,0,1,0,0,2] -> INT64 [2,0,0,1,0,0]"),
    ("one.resize", "GatherND", stored(1, lambda x: x[::-1].copy()), "GatherND: input 2 INT64 ["),
    ("one.nearest", "Resize", attribute("mode", "linear"), "Resize: mode default -> linear"),
    ("one.nearest", "Resize", attribute("nearest_mode", "ceil"), "Resize: nearest_mode floor -> ceil"),
    (
        "one.nearest",
        "Resize",
        attribute("coordinate_transformation_mode", "half_pixel"),
        "Resize: coordinate_transformation_mode asymmetric -> default",
    ),
    ("one.grid", "GridSample", attribute("mode", "nearest"), "-> nearest"),
    ("one.grid", "GridSample", attribute("padding_mode", "border"), "GridSample: padding_mode default -> border"),
    ("one.grid", "GridSample", attribute("align_corners", 1), "GridSample: align_corners default -> 1"),
    ("one.scatter", "ScatterElements", attribute("reduction", "mul"), "ScatterElements: reduction add -> mul"),
    ("one.scatter", "ScatterElements", attribute("axis", 2), "ScatterElements: axis 1 -> -1"),
    ("one.put", "ScatterND", attribute("reduction", "none"), "ScatterND: reduction add -> default"),
    ("one.put", "ScatterND", other(1, lambda x: x[..., ::-1]), "ScatterND: input 2 INT64 [0,1] -> INT64 [1,0]"),
    ("one.shuffle", "DepthToSpace", attribute("mode", "DCR"), "DepthToSpace: mode CRD -> default"),
    ("one.one_hot", "Greater", swap(), "Greater: inputs exchanged"),
    ("one.ceil", "MaxPool", attribute("ceil_mode", 0), "MaxPool: ceil_mode 1 -> default"),
    ("one.include", "AveragePool", attribute("count_include_pad", 1), "count_include_pad default -> 1"),
    ("one.instance", "InstanceNormalization", attribute("epsilon", 0.1), "epsilon default -> 0.1"),
    ("one.gather", "GatherElements", attribute("axis", 0), "GatherElements: axis 1 -> 0"),
    ("one.fake", "QuantizeLinear", other(1, lambda x: x * 2), "QuantizeLinear: input 2 FLOAT 0.1 -> FLOAT 0.2"),
    ("one.fake", "QuantizeLinear", other(2, lambda x: x + 1), "QuantizeLinear: input 3 INT8 3 -> INT8 4"),
    ("one.fake", "DequantizeLinear", other(2, lambda x: x + 1), "DequantizeLinear: input 3 INT8 3 -> INT8 4"),
    ("one.split", "Split", outputs, "Concat: order of inputs"),
    ("one.split", "Split", other(1, lambda x: x[::-1]), "Split: input 2 INT64 [1,2,3] -> INT64 [3,2,1]"),
    ("one.branch", "If", branches, "If: else_branch (Div) -> (Sub)"),
    ("one.branch", "Greater", swap(), "Greater: inputs exchanged"),
    ("one.branch", "Sub", swap(), "Sub: inputs exchanged"),
    ("one.branch", "Div", other(1, lambda x: x * 2), "FLOAT 0.25 -> FLOAT 0.5"),
    ("one.half_up", "Cast", attribute("to", 7), "Cast: to INT32 -> INT64"),
    ("one.deviation", "ReduceMean", other(1, lambda x: x - 1), "ReduceMean: input 2 INT64 [2] -> INT64 [1]"),
    ("one.minimum", "ArgMin", attribute("axis", 2), "ArgMin: axis 1 -> -1"),
    ("one.minimum", "ArgMin", attribute("keepdims", 0), "ArgMin: keepdims default -> 0"),
    ("one.best", "TopK", attribute("axis", 0), "TopK: axis -1 -> 0"),
    ("one.hard", "HardSigmoid", attribute("alpha", 0.2), "HardSigmoid: alpha 0.166667 -> default"),
    ("one.hard", "HardSigmoid", attribute("beta", 0.4), "HardSigmoid: beta default -> 0.4"),
    ("one.flip", "Slice", other(4, lambda x: x * 2), "Slice: input 5 INT64 [-1] -> INT64 [-2]"),
    ("conv", "Conv", attribute("pads", (0, 2)), "Conv: pads [1,1] -> [0,2]"),
    ("conv", "Conv", attribute("strides", (2,)), "Conv: strides default -> [2]"),
    ("conv", "Conv", attribute("dilations", (2,)), "Conv: dilations default -> [2]"),
    ("conv", "Conv", attribute("group", 2), "Conv: group default -> 2"),
    ("gru", "GRU", attribute("linear_before_reset", 0), "GRU: linear_before_reset 1 -> default"),
    ("lstm", "LSTM", attribute("direction", "reverse"), "LSTM: direction bidirectional -> reverse"),
    ("lstm", "LSTM", swap(1, 2), "LSTM: inputs exchanged"),
)


def exported() -> Subject:
    """The one export."""
    torch.manual_seed(0)
    x, y = torch.rand(2, 4, 6) + 0.5, torch.rand(2, 4, 6) + 0.5
    return subject_of(Operators().eval(), (x, y), "operators")


def restored(subject: Subject, node: ir.Node) -> Callable[[], None]:
    """Puts back whatever an edit of ``node`` changes."""
    graph = subject.tagging.graph.model.graph
    inputs, attributes = list(node.inputs), dict(node.attributes)
    uses = [(use.node, use.idx, value) for value in node.outputs for use in value.uses()]
    contents = [(value, value.const_value) for value in inputs if value is not None]

    def undo() -> None:
        for value, content in contents:
            value.const_value = content
        for place, value in enumerate(inputs):
            node.replace_input_with(place, value)
        node.attributes.clear()
        node.attributes.update(attributes)
        for reader, place, value in uses:
            reader.replace_input_with(place, value)
        graph.initializers.pop("edited", None)

    return undo


def outcome(subject: Subject, fault: Meaning) -> tuple[Finding, ...]:
    """What the edit gives; the graph is put back."""
    path, op, edit, _ = fault
    facts = subject.tagging.graph.nodes
    found = [item.node for item in facts if item.path == path and item.node.op_type == op]
    assert found, sorted({item.node.op_type for item in facts if item.path == path})
    undo = restored(subject, found[0])
    try:
        edit(subject.tagging.graph.model, found[0])
        return compare_exports(subject.before, subject.record()).findings
    finally:
        undo()
