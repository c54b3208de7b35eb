"""Changes of meaning that leave every operator where it is: one operator a module, one edit at a time.

All share one export, whose graph is edited and put back. Each edit must give one finding, in the module of the
operator, whose message says what changed from what to what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.semantic_mutations import Subject, run, subject_of
from pytest_htp.compare import at_or_above, compare_exports
from tests.faults._edits import constant

Edit = Callable[[ir.Model, ir.Node], object]


class Apply(nn.Module):
    """One function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values)


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


FAULTS: tuple[tuple[str, str, Edit, str], ...] = (
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
    ("conv", "Conv", attribute("pads", (0, 2)), "Conv: pads [1,1] -> [0,2]"),
    ("conv", "Conv", attribute("strides", (2,)), "Conv: strides default -> [2]"),
    ("conv", "Conv", attribute("dilations", (2,)), "Conv: dilations default -> [2]"),
    ("conv", "Conv", attribute("group", 2), "Conv: group default -> 2"),
    ("gru", "GRU", attribute("linear_before_reset", 0), "GRU: linear_before_reset 1 -> default"),
    ("lstm", "LSTM", attribute("direction", "reverse"), "LSTM: direction bidirectional -> reverse"),
    ("lstm", "LSTM", swap(1, 2), "LSTM: inputs exchanged"),
)


@pytest.fixture(scope="module")
def operators() -> Subject:
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


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]} {fault[3]}".replace("/", " "))
def test_a_changed_meaning_is_found_where_it_changed_and_said_in_words(
    operators: Subject, fault: tuple[str, str, Edit, str]
) -> None:
    path, op, edit, words = fault
    facts = operators.tagging.graph.nodes
    found = [item.node for item in facts if item.path == path and item.node.op_type == op]
    assert found, sorted({item.node.op_type for item in facts if item.path == path})
    undo = restored(operators, found[0])
    try:
        edit(operators.tagging.graph.model, found[0])
        findings = compare_exports(operators.before, operators.record()).findings
    finally:
        undo()
    told = [(finding.code, finding.module) for finding in findings if at_or_above(finding.verdict, "drift")]
    assert told == [("ops.changed", path)]
    assert words in findings[0].message
    assert compare_exports(operators.before, operators.record()).findings == ()


@pytest.mark.parametrize(
    ("path", "op", "edit"),
    [
        ("conv", "Conv", attribute("kernel_shape", (3,))),
        ("conv", "Conv", attribute("dilations", (1,))),
        ("conv", "Conv", attribute("auto_pad", "NOTSET")),
        ("one.softmax", "Softmax", attribute("axis", 2)),
        ("one.add", "Add", swap()),
        ("one.scale", "Mul", swap()),
        ("one.norm", "LayerNormalization", attribute("stash_type", 1)),
        ("one.to_half", "Cast", attribute("saturate", 1)),
    ],
)
def test_other_words_for_the_same_meaning_are_no_finding(operators: Subject, path: str, op: str, edit: Edit) -> None:
    node = next(item.node for item in operators.tagging.graph.nodes if item.path == path and item.node.op_type == op)
    undo = restored(operators, node)
    try:
        edit(operators.tagging.graph.model, node)
        assert compare_exports(operators.before, operators.record()).findings == ()
    finally:
        undo()


def test_edits_at_random_are_found_in_the_right_module(operators: Subject) -> None:
    results = list(run(iter([operators]), 40))
    assert len(results) > 20
    missed = [(result.edit.kind, result.edit.what) for result in results if not (result.found and result.right)]
    assert missed == []
