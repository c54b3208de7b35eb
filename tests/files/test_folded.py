"""Files of which one is more optimized than the other: the same, unless what they compute differs."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from pytest_htp.compare.policy import Policy
from pytest_htp.files.compare import compare_files
from pytest_htp.files.load import load_onnx
from tests.files.htp_pairs import Encoder, save

HEAD = '<ir_version: 8, opset_import: ["" : 18]> g (float[4] x) => (float[4] y) '
COMPUTED = HEAD + "{ a = Constant<value = float {4.0}>() b = Sqrt(a) m = Mul(x, b) y = Relu(m) }"
CONSTANT = HEAD + "{ b = Constant<value = float {2.0}>() m = Mul(x, b) y = Relu(m) }"


def codes(old: Path, new: Path) -> set[str]:
    found = compare_files(load_onnx(str(old)), load_onnx(str(new)), Policy())
    return {finding.code for finding in found.comparison.findings}


def written(folder: Path, **texts: str) -> list[Path]:
    for name, text in texts.items():
        onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    return [folder / f"{name}.onnx" for name in texts]


def test_a_computed_constant_is_what_comes_of_it(tmp_path: Path) -> None:
    assert codes(*written(tmp_path, old=COMPUTED, new=CONSTANT)) == {"exporter.wording"}


@pytest.mark.parametrize(
    "changed",
    [
        COMPUTED.replace("4.0", "9.0"),
        COMPUTED.replace("Sqrt", "Exp"),
        COMPUTED.replace("Mul(x, b)", "Div(x, b)"),
        COMPUTED.replace("}>() b = Sqrt(a)", "}>() c = Sqrt(a) b = Sqrt(c)"),
    ],
)
def test_another_number_or_operator_is_told_as_before(changed: str, tmp_path: Path) -> None:
    assert codes(*written(tmp_path, old=changed, new=CONSTANT)) & {"ops.changed", "ops.exploded"}


def test_a_change_is_named_alone_where_all_else_is_the_same_once_folded(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=COMPUTED, new=CONSTANT.replace("Relu", "Tanh"))
    for path in (old, new):
        model = onnx.load(path)
        for node in model.graph.node:
            node.name = f"/{'act' if node.op_type in ('Relu', 'Tanh') else 'scale'}/{node.op_type}"
        onnx.save(model, path)
    found = compare_files(load_onnx(str(old)), load_onnx(str(new)), Policy()).comparison.findings
    assert [(finding.code, finding.module) for finding in found] == [("ops.changed", "act"), ("exporter.wording", None)]
    assert found[1].message.startswith("all else is the same once constants are folded")


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile", "Range"])
def test_a_small_file_that_asks_for_much_memory_gets_none(kind: str, tmp_path: Path) -> None:
    made = {
        "ConstantOfShape": "big = ConstantOfShape(n)",
        "Expand": "one = Constant<value = float {1.0}>() big = Expand(one, n)",
        "Tile": "one = Constant<value = float[1] {1.0}>() big = Tile(one, n)",
        "Range": "zero = Constant<value = int64 {0}>() one = Constant<value = int64 {1}>() m = Squeeze(n) "
        "long = Range(zero, m, one) big = Cast<to = 1>(long)",
    }[kind]
    text = HEAD + f"{{ n = Constant<value = int64[1] {{400000000000}}>() {made} s = ReduceMax<keepdims = 0>(big) "
    paths = written(tmp_path, old=text + "y = Mul(x, s) }", new=text + "y = Add(x, s) }")
    assert "ops.changed" in codes(*paths)


@pytest.mark.parametrize(
    ("opset", "old", "new", "stored", "changed"),
    [
        (17, "ReduceMean<axes = [1, 2]>(x)", "ReduceMean(x, a)", "int64[2] a = {1, 2}", "int64[2] a = {1, 0}"),
        (10, "Clip<max = 6.0>(x)", "Clip(x, , val_1)", "float val_1 = {6.0}", "float val_1 = {7.0}"),
        (10, "Pad<pads = [0, 1, 0, 0]>(x)", "Pad(x, a)", "int64[4] a = {0, 1, 0, 0}", "int64[4] a = {0, 0, 0, 1}"),
        (9, "Slice<starts = [0], ends = [1]>(x)", "Slice(x, a, b)", "int64[1] a = {0}, int64[1] b = {1}",
         "int64[1] a = {0}, int64[1] b = {2}"),
        (12, "Unsqueeze<axes = [2]>(x)", "Unsqueeze(x, a)", "int64[1] a = {2}", "int64[1] a = {1}"),
    ],
)  # fmt: skip
def test_an_attribute_that_a_later_opset_has_as_an_input_is_the_same(
    opset: int, old: str, new: str, stored: str, changed: str, tmp_path: Path
) -> None:
    head = '<ir_version: 8, opset_import: ["" : {}]> g (float[2,3] x) => (float[d,e] y)'
    later = head.format(opset + 1)
    paths = written(
        tmp_path,
        old=f"{head.format(opset)} {{ y = {old} }}",
        same=f"{later} <{stored}> {{ y = {new} }}",
        other=f"{later} <{changed}> {{ y = {new} }}",
    )
    assert "ops.changed" not in codes(paths[0], paths[1])
    assert "ops.changed" in codes(paths[0], paths[2])


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By ONNX Runtime, of TorchScript's file."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pair")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "basic.onnx")
    source = save(Encoder(), folder / "source.onnx", dynamo=False)
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return folder


def test_what_onnx_runtime_rewrote_is_wording(optimized: Path) -> None:
    assert codes(optimized / "source.onnx", optimized / "basic.onnx") == {"exporter.wording"}
    assert codes(optimized / "basic.onnx", optimized / "source.onnx") == {"exporter.wording"}


def test_a_change_shows_through_what_onnx_runtime_rewrote(optimized: Path) -> None:
    torch.manual_seed(0)
    changed = Encoder()
    changed.blocks[1].mlp[1] = nn.Tanh()  # type: ignore[operator]
    path = save(changed, optimized / "changed.onnx", dynamo=False)
    found = compare_files(load_onnx(str(path)), load_onnx(str(optimized / "basic.onnx")), Policy())
    assert "blocks.1.mlp.1" in {finding.module for finding in found.comparison.findings}
    assert found.notes == [f"{optimized / 'basic.onnx'} was optimized: the modules of {path} are carried onto it"]


def test_tables_of_strings_are_compared(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (int64[3] i) => (string[3] y) <string[9] t = {%s}> '
    text += "{ y = Gather(t, i) }"
    words = [f'"w{number}"' for number in range(9)]
    same = ",".join(words)
    old, other, new = written(tmp_path, old=text % same, other=text % same, new=text % same.replace("w3", "w7"))
    assert codes(old, other) == set()
    assert codes(old, new) == {"weights.values"}
