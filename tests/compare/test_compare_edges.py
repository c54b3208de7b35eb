"""What each list of operators, each threshold and each number in a message decides, one at a time."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.changes import is_float
from pytest_htp.compare.engine import compare_exports
from tests.compare._records import add_ops, bert, changed, codes, edited, row

Record = dict[str, Any]

SHAPE_OPS = [
    "Shape", "Size", "Gather", "GatherND", "GatherElements", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Expand",
    "Slice", "Range", "ConstantOfShape", "Constant", "Identity", "Split", "Tile", "Pad", "Where", "Transpose",
    "Flatten",
]  # fmt: skip
INDEX_OPS = [
    "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Equal", "And", "Or", "Not", "Less", "LessOrEqual", "Greater",
    "GreaterOrEqual", "Cast", "CastLike", "CumSum", "Trilu", "ReduceMin", "ReduceMax", "ReduceProd", "ReduceSum", "Abs",
    "Neg", "Sign", "Ceil", "Floor",
]  # fmt: skip


def fixed(op: str, dtype: str) -> set[str]:
    """Codes where an axis was fixed and one operator with results of a type came to the model's own code."""
    after = changed(lambda rows: add_ops(rows[""], {op: 1}, dtype))
    after["inputs"][0]["dims"] = [1, "d1"]
    return set(codes(bert(), after))


@pytest.mark.parametrize("op", SHAPE_OPS)
def test_operators_that_move_values_follow_an_axis(op: str) -> None:
    assert fixed(op, "FLOAT") == fixed(op, "INT64") == {"io.dim_fixed"}


@pytest.mark.parametrize("op", INDEX_OPS)
def test_arithmetic_follows_an_axis_where_it_is_of_integers(op: str) -> None:
    assert fixed(op, "INT64") == {"io.dim_fixed"}
    assert fixed(op, "FLOAT") != {"io.dim_fixed"}


@pytest.mark.parametrize("op", ["Softmax", "MatMul", "Erf", "Round"])
def test_other_operators_do_not_follow_an_axis(op: str) -> None:
    assert "ops.changed" in fixed(op, "INT64")


@pytest.mark.parametrize("op", ["If", "Loop", "Scan", "SequenceMap"])
def test_control_flow_is_named_where_it_appears(op: str) -> None:
    def grow(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {op: 2})

    (told,) = compare_exports(bert(), changed(grow)).findings
    assert (told.code, told.module, told.before, told.after) == ("controlflow.added", "pooler", {op: 0}, {op: 2})
    (told,) = compare_exports(bert(), changed(lambda rows: None, untagged={op: 2})).at_or_above("regression")[:1]
    assert (told.code, told.module, told.after) == ("controlflow.added", None, {op: 2})
    assert told.message == f"{op} 0 -> 2 in no module"


def with_flops(count: int) -> Record:
    return changed(lambda rows: rows["head"].update(flops=count))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (1_000_000, 1_010_000, None),
        (1_000_000, 1_010_001, "1 MFLOP -> 1.01 MFLOP (+1.0%)"),
        (1_000_000, 990_000, None),
        (1_000_000, 989_999, "1 MFLOP -> 990 kFLOP (-1.0%)"),
        (999, 1_000, None),
        (400, 999, "400 FLOP -> 999 FLOP (+149.8%)"),
        (1_000, 12_345, "1 kFLOP -> 12.35 kFLOP (+1134.5%)"),
        (2_000_000_000, 3_000_000_000_000, "2 GFLOP -> 3 TFLOP (+149900.0%)"),
        (0, 1, "0 FLOP -> 1 FLOP"),
    ],
)
def test_flops_in_words_and_from_one_percent_on(before: int, after: int, message: str | None) -> None:
    found = compare_exports(with_flops(before), with_flops(after)).findings
    assert [finding.message for finding in found] == ([] if message is None else [message])
    assert [(finding.before, finding.after) for finding in found] == ([] if message is None else [(before, after)])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("FLOAT", True), ("FLOAT16", True), ("BFLOAT16", True), ("DOUBLE", True), ("COMPLEX64", True), ("INT64", False),
     ("BOOL", False), ("UINT8", False)],
)  # fmt: skip
def test_element_types_that_are_floats(dtype: str, expected: bool) -> None:
    assert is_float(dtype) is expected


def test_a_comparison_as_json_values() -> None:
    after = edited(lambda record: record["toolchain"].update(torch="2.14.0", onnx="1.24.0"))
    result = compare_exports(bert(), after).to_dict()
    assert result["verdict"] == "info"
    assert result["toolchain_changed"] == [
        {"name": "onnx", "before": "1.23.2", "after": "1.24.0"},
        {"name": "torch", "before": "2.13.0", "after": "2.14.0"},
    ]
    assert [found["code"] for found in result["findings"]] == ["toolchain.changed"] * len(result["findings"])


def test_what_has_no_code_is_listed_by_field() -> None:
    def edit(record: Record) -> None:
        record["model"]["parameters"] += 1
        record["graph"]["nodes"] += 1

    (told,) = compare_exports(bert(), edited(edit)).findings
    assert (told.code, told.module) == ("record.changed", None)
    assert told.message == "differs without a finding: model.parameters, graph.nodes"


def test_duplicates_count_only_where_both_kept_their_weights() -> None:
    def edit(record: Record) -> None:
        record["weights"].update(kept=False, duplicates=[{"names": ["a", "b"], "bytes": 8, "copies": 2}])

    assert codes(bert(), edited(edit)) == []
    assert codes(edited(edit), bert()) == []


def test_another_engine_is_said_once() -> None:
    after = edited(lambda record: record["model"].update(exporter="transformers"))
    assert codes(bert(), after) == ["toolchain.changed"]


def sequence(*classes: str) -> Record:
    """The model with an ``nn.Sequential`` of modules with one operator each."""

    def put(rows: dict[str, Any]) -> None:
        rows["net"] = row("net", "Sequential")
        for index, name in enumerate(classes):
            rows[f"net.{index}"] = row(f"net.{index}", name, {name: 1})

    return changed(put)


@pytest.mark.parametrize("place", range(5))
def test_a_module_put_anywhere_into_a_sequential_is_the_only_new_one(place: int) -> None:
    names = ["Relu", "Tanh", "Erf", "Sqrt"]
    longer = [*names[:place], "Exp", *names[place:]]
    (added,) = compare_exports(sequence(*names), sequence(*longer)).findings
    assert (added.code, added.module) == ("module.added", f"net.{place}")
    assert added.after == {"class": "Exp", "modules": 1, "nodes": 1}
    assert ("; the modules after it are renumbered" in added.message) is (place < 4)
    (removed,) = compare_exports(sequence(*longer), sequence(*names)).findings
    assert (removed.code, removed.module) == ("module.removed", f"net.{place}")
    assert removed.before == {"class": "Exp", "modules": 1, "nodes": 1}


def test_two_modules_put_into_a_sequential_are_two() -> None:
    found = compare_exports(
        sequence("Relu", "Tanh", "Erf", "Sqrt"), sequence("Relu", "Exp", "Tanh", "Log", "Erf", "Sqrt")
    ).findings
    assert [(finding.code, finding.module) for finding in found] == [
        ("module.added", "net.1"),
        ("module.added", "net.3"),
    ]
