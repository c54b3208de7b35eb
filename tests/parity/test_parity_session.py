"""One onnxruntime session that yields inner values, in batches or at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pytest_htp.errors import HTPUsageError
from pytest_htp.parity.session import KernelMissing, RuntimeRefused, ValueSession
from pytest_htp.parity.weights import take_from_memory

CPU = ("CPUExecutionProvider",)


def model(nodes: list[onnx.NodeProto], dtype: int = TensorProto.FLOAT, opset: int = 18) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", dtype, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(torch.arange(3.0).numpy(), "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    made.graph.output[0].ClearField("type")
    return made


def saved(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "m.onnx"
    onnx.save(proto, path)
    return path


CHAIN = [
    helper.make_node("Add", ["x", "w"], ["sum"]),
    helper.make_node("ReduceSum", ["sum"], ["total"], keepdims=0),
    helper.make_node("Greater", ["sum", "total"], ["larger"]),
    helper.make_node("Where", ["larger", "sum", "total"], ["y"]),
]


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize("batch_bytes", [2**30, 16])
def test_every_value_comes_out_once(tmp_path: Path, batch_bytes: int, opset: int) -> None:
    path = saved(model(CHAIN, opset=opset), tmp_path)
    extra = {"sum": 24, "total": 4, "larger": 6, "y": 24}
    session = ValueSession(path, extra, CPU, batch_bytes=batch_bytes)
    assert session.gated == (batch_bytes == 16)
    x = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 100.0]])
    found = dict(session.run({"x": x}))
    total = (x + torch.arange(3.0)).sum()
    assert list(found) == ["y", "sum", "total", "larger"]
    assert torch.equal(found["sum"], x + torch.arange(3.0))
    assert (found["total"].shape, float(found["total"])) == ((), float(total))
    assert found["larger"].dtype is torch.bool
    assert torch.equal(found["larger"], found["sum"] > total)
    assert torch.equal(dict(session.run_outputs({"x": x}))["y"], found["y"])


def test_nothing_is_written(tmp_path: Path) -> None:
    path = saved(model(CHAIN), tmp_path)
    before = path.read_bytes()
    list(ValueSession(path, {"sum": 24}, CPU).run({"x": torch.ones(1, 3)}))
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert path.read_bytes() == before


def test_weights_stay_in_their_file(tmp_path: Path) -> None:
    proto = model(CHAIN)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    values = dict(ValueSession(tmp_path / "m.onnx", {"sum": 24}, CPU).run({"x": torch.ones(1, 3)}))
    assert torch.equal(values["sum"], torch.tensor([[1.0, 2.0, 3.0]]))


def test_bfloat16_goes_in_and_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Reshape", ["same", "s"], ["y"])]
    proto = model(nodes, TensorProto.BFLOAT16)
    proto.graph.initializer.append(numpy_helper.from_array(torch.tensor([-1]).numpy(), "s"))
    x = torch.tensor([[1.0, 2.5, -3.0]], dtype=torch.bfloat16)
    values = dict(ValueSession(saved(proto, tmp_path), {"same": 6}, CPU).run({"x": x}))
    assert torch.equal(values["same"], x)
    assert torch.equal(values["y"], x.reshape(-1))


def test_an_unknown_provider_names_the_known(tmp_path: Path) -> None:
    path = saved(model(CHAIN), tmp_path)
    with pytest.raises(HTPUsageError, match=r"'NoSuchProvider' is not in this onnxruntime; it has .*CPU"):
        ValueSession(path, {}, ("NoSuchProvider",))


def test_a_model_that_does_not_load_says_so_in_one_line(tmp_path: Path) -> None:
    path = saved(model([helper.make_node("NoSuchOperator", ["x"], ["y"])]), tmp_path)
    with pytest.raises(RuntimeRefused, match="can't load the exported model") as caught:
        ValueSession(path, {}, CPU)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_run_says_so(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    proto = model(nodes)
    proto.graph.initializer.append(numpy_helper.from_array(torch.tensor([7, 7]).numpy(), "s"))
    session = ValueSession(saved(proto, tmp_path), {}, CPU)
    with pytest.raises(RuntimeRefused, match="can't run the exported model"):
        list(session.run({"x": torch.ones(2, 3)}))


def test_a_missing_kernel_names_no_node(tmp_path: Path) -> None:
    nodes = [helper.make_node("Erf", ["x"], ["y"], name="node_of_this_export")]
    with pytest.raises(KernelMissing, match=r"no kernel for Erf\(13\)") as caught:
        ValueSession(saved(model(nodes, TensorProto.DOUBLE), tmp_path), {}, CPU)
    assert "node_of_this_export" not in str(caught.value)


def _large(folder: Path, *, transposed: bool = False, operator: str = "MatMul") -> tuple[Path, ir.Model]:
    """``y = x @ w`` with a weight of 512 KiB beside the graph; ``transposed``: memory holds ``w.T`` in a row."""
    held = torch.randn(512, 256, generator=torch.Generator().manual_seed(0))
    weight = held.T if transposed else held.reshape(256, 512)
    proto = model([helper.make_node("Relu", ["x"], ["r"]), helper.make_node(operator, ["r", "w"], ["y"])])
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 256
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight.contiguous().numpy(), "w"))
    program = ir.from_proto(proto)
    program.graph.initializers["w"].const_value = ir.tensor(weight.numpy(), name="w")
    path = folder / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    return path, program


@pytest.mark.parametrize(
    ("transposed", "operator", "taken", "read_by"),
    [
        (False, "MatMul", "w", "MatMul"),
        (False, "Gemm", "w", "Gemm"),
        (True, "MatMul", "pytest_htp.held.w", "FusedMatMul"),
        (True, "Gemm", "pytest_htp.held.w", "Gemm"),
    ],
)
def test_weights_are_shared_with_memory_where_the_file_agrees(
    tmp_path: Path, transposed: bool, operator: str, taken: str, read_by: str
) -> None:
    path, program = _large(tmp_path, transposed=transposed, operator=operator)
    proto = onnx.load(path, load_external_data=False)
    [(name, array)] = take_from_memory(proto, path, program).items()
    assert name == taken
    assert program.graph.initializers["w"].const_value is not None
    assert np.shares_memory(array, program.graph.initializers["w"].const_value.numpy())
    assert [node.op_type for node in proto.graph.node] == ["Relu", read_by]
    x = torch.randn(2, 256)
    shared = dict(ValueSession(path, {}, CPU, program=program).run({"x": x}))
    plain = dict(ValueSession(path, {}, CPU).run({"x": x}))
    torch.testing.assert_close(shared["y"], plain["y"], rtol=1e-6, atol=1e-5)


def test_an_operator_that_may_want_an_initializer_gets_one(tmp_path: Path) -> None:
    path, program = _large(tmp_path, transposed=True, operator="PRelu")
    assert take_from_memory(onnx.load(path, load_external_data=False), path, program) == {}


@pytest.mark.parametrize("transposed", [False, True])
def test_a_file_that_stores_other_weights_is_what_runs(tmp_path: Path, transposed: bool) -> None:
    path, program = _large(tmp_path, transposed=transposed)
    data = tmp_path / "m.onnx.data"
    data.write_bytes(bytes(data.stat().st_size))
    assert take_from_memory(onnx.load(path, load_external_data=False), path, program) == {}
    [(_, y)] = ValueSession(path, {}, CPU, program=program).run({"x": torch.ones(2, 256)})
    assert not y.any()


def test_a_missing_data_file_is_refused(tmp_path: Path) -> None:
    path, program = _large(tmp_path)
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(RuntimeRefused, match="can't load the exported model"):
        ValueSession(path, {}, CPU, program=program)
