"""Rules that read programs: what runs quantized, which Casts are whose, what only follows another module's change."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, Row, bert, changed
from tests.compare.test_compare_stages import staged

TABLE, HEAD = "embeddings.word", "head"


def written(rows: dict[str, Row], path: str, program: str, dtype: str = "FLOAT") -> None:
    """Give a module a program (lines separated by ``|``) and the counts that follow from it."""
    lines = [line.strip() for line in program.split(" | ")]
    ops = Counter(line.split(" = ")[1].partition("(")[0] for line in lines if line.startswith("%"))
    count = sum(ops.values())
    rows[path].update(program=lines, ops=dict(ops), nodes=count, dtypes={dtype: count}, evidence={"direct": count})


def programs(**program: str) -> Record:
    """``bert()`` with programs, by path with ``__`` for dots."""

    def change(rows: dict[str, Row]) -> None:
        for path, lines in program.items():
            written(rows, path.replace("__", "."), lines)

    return changed(change)


def found(before: Record, after: Record, **options: Any) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.module) for finding in compare_exports(before, after, **options).findings]


def of_stage(before: Record, after: Record, name: str = "int8:qdq") -> list[tuple[str, str | None]]:
    return found(staged(bert(), name, of=before), staged(bert(), name, of=after))


Q, DQ = "QuantizeLinear", "DequantizeLinear"
QUANTIZED = f"%1 = {DQ}(parameter weight) | %2 = MatMul(in0, %1)"
FLOAT = "%1 = MatMul(in0, parameter weight)"
INTEGER = "%1 = DynamicQuantizeLinear(in0) | %2 = MatMulInteger(%1, parameter weight)"
TWICE = f"{INTEGER} | %3 = MatMulInteger(%1, parameter other)"
ONCE = f"{INTEGER} | %3 = {DQ}(parameter other) | %4 = MatMul(in0, %3)"


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (QUANTIZED, FLOAT, "lost"),
        (INTEGER, FLOAT, "lost"),
        (INTEGER, QUANTIZED, "lost"),  # with integers, now between conversions
        (TWICE, ONCE, "lost"),
        (f"%1 = {DQ}(parameter weight) | %2 = MatMul(x:{DQ}, %1)", "%1 = MatMul(x:Relu, parameter weight)", "lost"),
        (f"%1 = MatMul(in0, x:{DQ})", "%1 = MatMul(in0, x:Relu)", "lost"),
        (f"%1 = MatMul(in0, x:{DQ}#1)", "%1 = MatMul(in0, x:Relu)", "lost"),
        # the same operator through what only passes on
        (QUANTIZED, f"%1 = {DQ}(parameter weight) | %2 = Transpose(%1) | %3 = MatMul(in0, %2)", None),
        # a bias alone is no weight
        (f"%1 = {DQ}(parameter bias) | %2 = Gemm(in0, parameter weight, %1)",
         "%1 = Gemm(in0, parameter weight, parameter bias)", None),
    ],
)  # fmt: skip
def test_what_runs_quantized(before: str, after: str, code: str | None) -> None:
    one, other = programs(head=before), programs(head=after)
    there, back = of_stage(one, other), of_stage(other, one)
    codes = [name for name, _ in (*there, *back) if name.startswith("quantization.")]
    assert codes == ([] if code is None else ["quantization.lost", "quantization.gained"])
    if code is not None:
        assert there == [("quantization.lost", HEAD)]
        assert back == [("quantization.gained", HEAD)]


@pytest.mark.parametrize("quantized", [f"%1 = Gather(parameter weight, in0) | %2 = {DQ}(%1)",
                                       f"%1 = {DQ}(parameter weight) | %2 = Gather(%1, in0)"])  # fmt: skip
def test_of_a_quantized_table_rows_are_taken_before_or_after(quantized: str) -> None:
    one = programs(embeddings__word=quantized)
    other = programs(embeddings__word="%1 = Gather(parameter weight, in0) | %2 = Mul(%1, x:f)")
    assert of_stage(one, other) == [("quantization.lost", TABLE)]
    assert of_stage(other, one) == [("quantization.gained", TABLE)]


def test_conversions_at_the_border_of_what_is_no_longer_quantized_follow_it() -> None:
    one = programs(head=QUANTIZED, pooler=f"%1 = Tanh(in0) | %2 = {Q}(%1)", encoder=f"%1 = {Q}(in0)")
    other = programs(head=FLOAT, pooler="%1 = Tanh(in0)", encoder="%1 = Exp(in0)")
    assert of_stage(one, other) == [("quantization.lost", HEAD), ("ops.changed", "encoder")]


def test_the_same_operators_out_of_their_conversions_say_so() -> None:
    one = programs(head=f"%1 = {DQ}(parameter weight) | %2 = MatMul(in0, %1) | %3 = Relu(%2)")
    other = programs(head=f"%1 = {DQ}(in0) | %2 = MatMul(%1, parameter weight) | %3 = Relu(%2)")
    (finding,) = compare_exports(staged(bert(), of=one), staged(bert(), of=other)).findings
    assert finding.message.endswith(": between conversions before")
    (finding,) = compare_exports(staged(bert(), of=other), staged(bert(), of=one)).findings
    assert finding.message.endswith(": between conversions now")


PLAIN = "%1 = MatMul(in0, parameter weight) | %2 = Add(%1, parameter bias)"
HANDED = f"{PLAIN} | %3 = Cast(%2; to=FLOAT16)"
OWN = "%1 = Cast(in0; to=FLOAT16) | %2 = MatMul(%1, parameter weight) | %3 = Add(%2, parameter bias)"


def test_a_stage_converts_a_value_where_it_is_made_for_what_reads_it() -> None:
    both = programs(head=HANDED, pooler="%1 = Cast(in0; to=FLOAT16) | %2 = Tanh(%1)")
    before = programs(head=PLAIN, pooler="%1 = Tanh(in0)")
    assert of_stage(before, both, "fp16") == [("dtype.internal", "pooler")]
    assert of_stage(before, programs(head=HANDED, pooler="%1 = Tanh(in0)"), "fp16") == [("dtype.internal", HEAD)]
    own = programs(head=OWN, pooler="%1 = Cast(in0; to=FLOAT16) | %2 = Tanh(%1)")
    assert of_stage(before, own, "fp16") == [("dtype.internal", HEAD), ("dtype.internal", "pooler")]
    # of the export itself each is one
    assert found(before, both) == [("dtype.internal", HEAD), ("dtype.internal", "pooler")]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("%1 = Relu(in0)", "%1 = Cast(in0; to=DOUBLE) | %2 = Relu(%1)", "dtype.internal"),
        ("%1 = Cast(in0; to=DOUBLE) | %2 = Relu(%1)", "%1 = Relu(in0)", "ops.changed"),
        ("%1 = Relu(in0)", "%1 = Cast(in0; to=DOUBLE) | %2 = Abs(%1)", "ops.changed"),
    ],
)
def test_casts_alone_are_another_precision(before: str, after: str, code: str) -> None:
    assert found(programs(pooler=before), programs(pooler=after)) == [(code, "pooler")]


def test_the_same_operators_of_another_type_are_another_precision() -> None:
    def of(dtypes: dict[str, int]) -> Record:
        return changed(lambda rows: rows["pooler"].update(dtypes=dtypes))

    (finding,) = compare_exports(of({"FLOAT": 2}), of({"FLOAT": 1, "FLOAT16": 1})).findings
    assert (finding.code, finding.module) == ("dtype.internal", "pooler")
    assert finding.message == "now computes in FLOAT16"
    assert (finding.before, finding.after) == ({"FLOAT": 2, "FLOAT16": 0}, {"FLOAT": 1, "FLOAT16": 1})
    (finding,) = compare_exports(of({"FLOAT": 1, "INT64": 1}), of({"FLOAT": 1, "INT32": 1})).findings
    assert finding.message == "node outputs: INT32 0 -> 1, INT64 1 -> 0"


@pytest.mark.parametrize(
    ("pooler", "dense", "expected"),
    [
        # the parent names the operator that it reads, and follows
        (("%1 = Tanh(dense:Add)", "%1 = Tanh(dense:Mul)"), ("%1 = Add(in0, in1)", "%1 = Mul(in0, in1)"),
         ["pooler.dense"]),
        # it reads another child's
        (("%1 = Tanh(dense:Add)", "%1 = Tanh(other:Add)"), ("%1 = Add(in0, in1)", "%1 = Add(in0, in1)"), ["pooler"]),
        # a change of its own beside the echo
        (("%1 = Tanh(dense:Add; a=1)", "%1 = Tanh(dense:Mul; a=2)"), ("%1 = Add(in0, in1)", "%1 = Mul(in0, in1)"),
         ["pooler", "pooler.dense"]),
        # it is given the same two in another order
        (("call dense(x:f, y:f) | %1 = Tanh(dense:Sub)", "call dense(y:f, x:f) | %1 = Tanh(dense:Sub)"),
         ("%1 = Sub(in0, in1)", "%1 = Sub(in0, in1)"), ["pooler.dense"]),
        (("call dense(x:f, y:f) | %1 = Tanh(dense:Sub)", "call dense(y:f, x:f) | %1 = Tanh(dense:Sub)"),
         ("%1 = Add(in0, in1)", "%1 = Add(in0, in1)"), [None]),  # record.changed: in whichever order
        # other values
        (("call dense(x:f) | %1 = Tanh(in0)", "call dense(y:f) | %1 = Tanh(in0)"),
         ("%1 = Relu(in0)", "%1 = Relu(in0)"), ["pooler"]),
    ],
)  # fmt: skip
def test_the_finding_belongs_to_the_module_whose_own_lines_changed(
    pooler: tuple[str, str], dense: tuple[str, str], expected: list[str | None]
) -> None:
    before, after = (programs(pooler=pooler[side], pooler__dense=dense[side]) for side in (0, 1))
    assert [module for _, module in found(before, after)] == expected
