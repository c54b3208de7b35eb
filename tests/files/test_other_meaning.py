"""Graphs that differ in one word that changes what they compute: each edit is a finding, and none is one by itself.

Attributes left at their default, bodies of loops in loops, functions, text: what exports of models seldom hold.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from pytest_htp.compare.finding import Finding
from pytest_htp.compare.policy import Policy
from pytest_htp.files.compare import compare_files
from pytest_htp.files.load import load_onnx

HEAD = '<ir_version: 10, opset_import: ["": 22, "f": 1]> '
TWO = "float[2,3,4] x, float[2,3,4] y"
STATES = f"{TWO}, int64 n, bool k"


def graph(body: str, inputs: str = TWO) -> str:
    return f"net ({inputs}) => (float[a,b,c] z) {{ {body} }}"


EINSUM = graph('z = Einsum<equation="abc,abc->abc">(x, y)')
PAD = graph("p = Constant<value_ints=[0,0,1,0,0,1]>() z = Pad(x, p)")
RESIZE = graph('s = Constant<value_floats=[1.0,1.0,2.0]>() z = Resize<mode="linear">(x, , s)')
CAST = graph("q = Cast<to=6>(x) z = Cast<to=1>(q)")
TOPK = graph("z, i = TopK(x, k)", "float[2,3,4] x, int64[1] k")
REDUCE = graph("z = ReduceMean(x)")
SCATTER = graph("z = ScatterND(x, i, u)", "float[2,3,4] x, int64[1,1] i, float[1,3,4] u")
QUANTIZED = graph(
    "s = Constant<value_float=0.1>() o = Constant<value=int8 {3}>() q = QuantizeLinear(x, s, o)"
    "z = DequantizeLinear(q, s, o)"
)
SIN, COS = "float[a,b,c] p) { p = Sin(x) }", "float[a,b,c] p) { p = Cos(x) }"
BRANCHES = graph(f"z = If<then_branch = t () => ({SIN}, else_branch = e () => ({COS}>(k)", f"{TWO}, bool k")
LOOP = graph(
    "z, w = Loop<body = b (int64 i, bool c, float[2,3,4] s, float[2,3,4] r) =>"
    "(bool c1, float[2,3,4] s1, float[2,3,4] r1) { c1 = Identity(c) s1 = Add(s, r) r1 = Mul(r, x) }>(n, k, x, y)",
    STATES,
)
NESTED = graph(
    "z = Loop<body = b (int64 i, bool c, float[2,3,4] s) => (bool c1, float[2,3,4] s1) { c1 = Identity(c)"
    "s1 = Loop<body = d (int64 j, bool e, float[2,3,4] t) => (bool e1, float[2,3,4] t1)"
    "{ e1 = Identity(e) f = Cast<to=1>(j) t1 = Add(t, f) }>(n, k, s) }>(n, k, x)",
    STATES,
)
SCAN = graph(
    "q, z = Scan<num_scan_inputs=1, body = b (float[3,4] s, float[3,4] v) => (float[3,4] s1, float[3,4] o)"
    "{ s1 = Add(s, v) o = Sub(s, v) }>(h, x)",
    "float[2,3,4] x, float[3,4] h",
)
ONE_HOT = graph(
    "d = Constant<value_int=5>() v = Constant<value_floats=[0.0,1.0]>() z = OneHot(i, d, v)", "int64[2,3] i"
)
FUNCTION = (
    graph("p, q = f.two(x, y) z = Sub(p, q)")
    + '<domain: "f", opset_import: ["": 22]> two (a, b) => (c, d) { c = Sub(a, b) d = Add(a, b) }'
)
GRID = graph("z = GridSample(x, y)", "float[2,3,4,4] x, float[2,3,4,2] y")
RNN = graph("z = RNN<hidden_size=4>(x, y, y)")
TEXT = (
    "net (string[20] x) => (string[20] z) { c = Constant<value=string[20] {"
    + ",".join(f'"{number}"' for number in range(20))
    + "}>() z = StringConcat(x, c) }"
)
TRAINED = graph(
    "a, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s) z = Add(a, m)", "float[2,3,3] x, float[3] s"
)
RESULTS = "net (float[2] x, float[2] w) => (float[2] p, float[2] q) { p = Sin(x) q = Cos(w) }"

EDITS = [
    (EINSUM, "->abc", "->acb", "equation abc,abc->abc -> abc,abc->acb"),
    (EINSUM, "(x, y)", "(y, x)", "Einsum: inputs exchanged"),
    (PAD, "Pad(", 'Pad<mode="edge">(', "Pad: mode default -> edge"),
    (PAD, "[0,0,1,", "[0,1,0,", "[0,0,1,0,0,1] -> [0,1,0,0,0,1]"),
    (RESIZE, '"linear"', '"cubic"', "mode linear -> cubic"),
    (RESIZE, '"linear"', '"linear", coordinate_transformation_mode="asymmetric"', "default -> asymmetric"),
    (RESIZE, '"linear"', '"linear", antialias=1', "antialias default -> 1"),
    (CAST, "to=6", "to=7", "Cast: to INT32 -> INT64"),
    (TOPK, "TopK(", "TopK<largest=0>(", "TopK: largest default -> 0"),
    (TOPK, "TopK(", "TopK<axis=1>(", "TopK: axis -1 -> 1"),
    (REDUCE, "Mean(", "Mean<keepdims=0>(", "keepdims default -> 0"),
    (REDUCE, "Mean(", "Mean<noop_with_empty_axes=1>(", "noop_with_empty_axes default -> 1"),
    (SCATTER, "ND(", 'ND<reduction="add">(', "reduction default -> add"),
    (QUANTIZED, "int8 {3}", "int8 {4}", "INT8 3 -> INT8 4"),
    (QUANTIZED, "0.1", "0.2", "0.1 -> 0.2"),
    (BRANCHES, f"({SIN}, else_branch = e () => ({COS}", f"({COS}, else_branch = e () => ({SIN}", "If: else_branch"),
    (BRANCHES, "Sin(x)", "Sin(y)", "input x -> input y"),
    (LOOP, "(n, k, x, y)", "(n, k, y, x)", "Loop: inputs exchanged"),
    (LOOP, "s1, float[2,3,4] r1)", "r1, float[2,3,4] s1)", "Loop: body (Identity, Add, Mul) -> (Identity, Mul, Add)"),
    (LOOP, "Mul(r, x)", "Mul(s, x)", "Loop.body.in3 -> Loop.body.in2"),
    (LOOP, "z, w =", "w, z =", "Loop -> the root: Loop.1"),
    (NESTED, "Cast<to=1>(j)", "Cast<to=1>(i)", "Loop#1.body.in0 -> Loop.body.in0"),
    (NESTED, "Identity(e)", "Identity(c)", "Loop#1.body.in1 -> Loop.body.in1"),
    (NESTED, "Add(t, f)", "Add(s, f)", "Loop#1.body.in2 -> Loop.body.in2"),
    (SCAN, "inputs=1", "inputs=1, scan_input_directions=[1]", "scan_input_directions default -> [1]"),
    (SCAN, "Sub(s, v)", "Sub(v, s)", "Sub: inputs exchanged"),
    (ONE_HOT, "Hot(", "Hot<axis=1>(", "OneHot: axis -1 -> 1"),
    (ONE_HOT, "[0.0,1.0]", "[1.0,0.0]", "[0,1] -> [1,0]"),
    (FUNCTION, "=> (c, d)", "=> (d, c)", "f::two: gives (Sub, Add) -> (Add, Sub)"),
    (FUNCTION, "p, q =", "q, p =", "Sub: inputs exchanged"),
    (FUNCTION, "two (a, b)", "two (b, a)", "Sub: inputs exchanged"),
    (GRID, "Sample(", 'Sample<padding_mode="border">(', "padding_mode default -> border"),
    (GRID, "Sample(", "Sample<align_corners=1>(", "align_corners default -> 1"),
    (RNN, "size=4", 'size=4, activations=["Relu"]', "activations default -> [Relu]"),
    (RNN, "size=4", 'size=4, direction="reverse"', "direction default -> reverse"),
    (RNN, "size=4", "size=4, clip=0.5", "clip default -> 0.5"),
    (TEXT, '"3","4"', '"4","3"', "STRING[20]"),
    (TRAINED, "mode=1", "mode=1, momentum=0.1", "momentum default -> 0.1"),
    (RESULTS, "Sin(x) q = Cos(w)", "Cos(w) q = Sin(x)", "each other's values"),
    (RESULTS, "Sin(x) q = Cos(w)", "Sin(w) q = Cos(x)", "input x -> input w"),
]


def findings(before: str, after: str, folder: Path) -> tuple[Finding, ...]:
    files = []
    for name, text in (("before", before), ("after", after)):
        onnx.save(onnx.parser.parse_model(HEAD + text), folder / f"{name}.onnx")
        files.append(load_onnx(str(folder / f"{name}.onnx")))
    return compare_files(*files, Policy()).comparison.findings


@pytest.mark.parametrize(("text", "was", "now", "words"), EDITS, ids=[edit[3].replace("/", " ") for edit in EDITS])
def test_an_edit_is_found_and_said_in_words(text: str, was: str, now: str, words: str, tmp_path: Path) -> None:
    assert was in text
    found = findings(text, text.replace(was, now), tmp_path)
    assert any(words in finding.message for finding in found), [finding.message for finding in found]


@pytest.mark.parametrize("text", list(dict.fromkeys(edit[0] for edit in EDITS)), ids=range(19))
def test_without_an_edit_there_is_no_finding(text: str, tmp_path: Path) -> None:
    assert findings(text, text, tmp_path) == ()
