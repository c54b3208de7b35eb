"""Whole comparisons of real exports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
import torch
from htp_prepared import Prepare
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.measure import measure_parity, random_nodes
from pytest_htp.parity.result import InputSet
from pytest_htp.parity.session import RuntimeRefused
from pytest_htp.tagging.tagger import tag_graph


def test_a_healthy_export(prepared: Prepare) -> None:
    request = prepared("bert")
    result = measure_parity(request)
    assert result.measured
    assert [output.name for output in result.outputs] == [value.name for value in request.program.graph.outputs]
    assert all(0 < output.max_rel < 1e-5 for output in result.outputs)
    assert result.failed == []
    assert result.first_divergence is None
    assert result.modules["encoder.layer.1.output.LayerNorm"].max_rel < 1e-5
    assert list(result.modules) == sorted(result.modules, key=request.hierarchy.executed.index)


def test_the_program_and_the_folder_stay_as_they_are(prepared: Prepare) -> None:
    request = prepared("mlp")
    graph = ir.to_proto(request.program).SerializeToString(deterministic=True)
    files = {file.name: file.read_bytes() for file in request.onnx_path.parent.iterdir()}
    measure_parity(request)
    assert ir.to_proto(request.program).SerializeToString(deterministic=True) == graph
    assert {file.name: file.read_bytes() for file in request.onnx_path.parent.iterdir()} == files


@pytest.mark.parametrize("name", ["bert", "convnet", "many_outputs"])
def test_batches_change_no_verdict(prepared: Prepare, name: str) -> None:
    request = prepared(name)
    whole = measure_parity(request)
    batched = measure_parity(replace(request, batch_bytes=20_000))
    assert batched.to_dict() == whole.to_dict()
    assert batched.attestation == whole.attestation


def test_a_wrong_output_fails(prepared: Prepare, tmp_path: Path) -> None:
    request = prepared("mlp")
    proto = onnx.load(request.onnx_path)
    last = proto.graph.node[-1]
    output = last.output[0]
    last.output[0] = "unscaled"
    proto.graph.initializer.append(onnx.numpy_helper.from_array(torch.tensor(1.5).numpy(), "scale"))
    proto.graph.node.append(onnx.helper.make_node("Mul", ["unscaled", "scale"], [output]))
    onnx.save(proto, tmp_path / "m.onnx")
    result = measure_parity(replace(request, onnx_path=tmp_path / "m.onnx"))
    assert result.failed == [output]
    assert result.outputs[0].max_rel == pytest.approx(0.5, rel=1e-3)
    assert measure_parity(replace(request, onnx_path=tmp_path / "m.onnx", rtol=1.0)).failed == []


def test_a_model_that_onnxruntime_refuses_raises(prepared: Prepare, tmp_path: Path) -> None:
    request = prepared("mlp")
    proto = onnx.load(request.onnx_path)
    proto.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(RuntimeRefused, match="can't load the exported model"):
        measure_parity(replace(request, onnx_path=tmp_path / "m.onnx"))


@pytest.mark.parametrize(("dynamic", "right"), [(False, False), (True, True)])
def test_another_batch_is_compared_as_well(prepared: Prepare, dynamic: bool, right: bool) -> None:
    request = prepared("mlp", dynamic=dynamic)
    model = _mlp()
    other = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        further = InputSet("batch of 5", {"x": other}, model(other))
    result = measure_parity(replace(request, extra_inputs=[further]))
    [output] = result.input_sets["batch of 5"]
    assert output.failed is not right
    assert result.failed == ([] if right else [output.name])
    assert (output.shape_mismatch is None) is right


def _mlp() -> nn.Module:
    from benchmarks.parity_zoo import make

    return make("mlp")[0]


@pytest.mark.parametrize(
    ("node", "drawn"),
    [
        (ir.Node("", "RandomNormal", []), ["RandomNormal"]),
        (ir.Node("", "Bernoulli", [ir.Value(name="x")]), ["Bernoulli"]),
        (ir.Node("custom", "Bernoulli", [ir.Value(name="x")]), []),
        (ir.Node("", "Dropout", [ir.Value(name="x")]), []),
        (ir.Node("", "Dropout", [ir.Value(name="x"), None, ir.Value(name="training")]), ["Dropout"]),
    ],
)
def test_random_operators_are_found(node: ir.Node, drawn: list[str]) -> None:
    graph = ir.Graph([], node.outputs, nodes=[node], name="main", opset_imports={"": 18})
    assert sorted({node.op_type for node in random_nodes(ir.Model(graph, ir_version=10))}) == drawn


def test_a_random_graph_is_not_measured(prepared: Prepare) -> None:
    request = prepared("mlp")
    node = ir.Node("", "RandomNormal", [])
    graph = ir.Graph([], node.outputs, nodes=[node], name="main", opset_imports={"": 18})
    program = ir.Model(graph, ir_version=10)
    tagging = tag_graph(program, request.hierarchy.modules)
    result = measure_parity(replace(request, program=program, tagging=tagging))
    assert not result.measured
    assert "draws random numbers: RandomNormal." in (result.reason or "")


def _program(*inputs: tuple[str, ir.DataType, list[int | str]]) -> ir.Model:
    values = [ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape)) for name, dtype, shape in inputs]
    return ir.Model(ir.Graph(values, [], nodes=[], name="main", opset_imports={"": 18}), ir_version=10)


def test_inputs_match_by_name_then_by_place() -> None:
    program = _program(
        ("mask", ir.DataType.INT64, ["n"]),
        ("ids", ir.DataType.INT64, ["n"]),
        ("past.layers.0.keys", ir.DataType.FLOAT, [2, 3]),
        ("arg_7", ir.DataType.FLOAT, [2, 3]),
    )
    ids, mask, keys, other = torch.arange(3), torch.ones(3).long(), torch.zeros(2, 3), torch.ones(2, 3)
    tensors = {"ids": ids, "unused": torch.ones(1), "x[0]": other, "past.layers[0].keys": keys, "mask": mask}
    feeds = match_inputs(program, tensors)
    assert {name: id(tensor) for name, tensor in feeds.items()} == {
        "mask": id(mask), "ids": id(ids), "past.layers.0.keys": id(keys), "arg_7": id(other),
    }  # fmt: skip


def test_an_input_that_nothing_fits_is_named() -> None:
    program = _program(("ids", ir.DataType.INT64, ["n", 4]))
    with pytest.raises(HTPUsageError, match=r"graph input 'ids' \(INT64, \[n,4\]\) fits none .* \[2, 5\]"):
        match_inputs(program, {"ids": torch.ones(2, 5).long()})


def test_a_model_that_returns_nothing_is_not_measured(tmp_path: Path) -> None:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> None:
            self.layer(x)

    export = HTPExporter().export(Silent(), (torch.ones(2, 3),), tmp_path / "m.onnx")
    assert export.parity.reason == "the graph has no outputs: the model returned no tensor"
