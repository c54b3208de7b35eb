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


READS = "%1 = Exp(in0) | %2 = Log(in1) | %3 = Div(%1, %2)"
READS_BACKWARDS = "%1 = Log(in0) | %2 = Exp(in1) | %3 = Div(%1, %2)"


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
        # it reads them in another order, and is given them so
        (("call dense(x:f, y:f) | %1 = Tanh(dense:Div)", "call dense(y:f, x:f) | %1 = Tanh(dense:Div)"),
         (READS, READS_BACKWARDS), ["pooler.dense"]),
        (("call dense(x:f, y:f) | %1 = Tanh(dense:Div)", "call dense(x:f, y:f) | %1 = Tanh(dense:Div)"),
         (READS, READS_BACKWARDS), ["pooler.dense"]),
        # it is given two of three in another order, and reads two others so
        (("call dense(x:f, y:f, z:f)", "call dense(x:f, z:f, y:f)"), (f"{READS} | %4 = Pow(%3, in2)",
         f"{READS_BACKWARDS} | %4 = Pow(%3, in2)"), ["pooler", "pooler.dense"]),
        # own values in another order, given to a child that changed by itself
        (("%1 = Exp(in0) | %2 = Log(in0) | call dense(%1, %2)", "%1 = Log(in0) | %2 = Exp(in0) | call dense(%1, %2)"),
         ("%1 = Gemm(in0, in1; alpha=2)", "%1 = Gemm(in0, in1; alpha=3)"), ["pooler", "pooler.dense"]),
        # a call more, or one less, of a child that is what it was
        (("%1 = Tanh(in0)", "call dense(x:f) | %1 = Tanh(in0)"), ("%1 = Relu(in0)", "%1 = Relu(in0)"), ["pooler"]),
        (("call dense(x:f) | %1 = Tanh(in0)", "%1 = Tanh(in0)"), ("%1 = Relu(in0)", "%1 = Relu(in0)"), ["pooler"]),
        # several children at once
        (("call dense.{0..1}(x:f, y:f) | %1 = Tanh(in0)", "call dense.{0..1}(y:f, x:f) | %1 = Tanh(in0)"),
         ("%1 = Relu(in0)", "%1 = Relu(in0)"), ["pooler"]),
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


ATTENTION = "encoder.layer.1.attention"
GIVEN = ("call self(x:f, y:f, z:f)", "call self(y:f, x:f, z:f)")


@pytest.mark.parametrize(
    ("inner", "query", "expected", "words"),
    [
        ("call query(in0, in1)", "%1 = Sub(in0, in1)", f"{ATTENTION}.self.query", "Sub: inputs exchanged: x:f, y:f"),
        ("call query(in2, in1, in0)", "%1 = Concat(in1, in2)", f"{ATTENTION}.self.query", "Concat: order of inputs: "),
        ("%1 = Sub(in0, in1)", "%1 = Sub(in0, in1)", f"{ATTENTION}.self", "Sub: inputs exchanged: x:f, y:f"),
        # by two lines, by one that reads only one of them, by several children, by one that has no program
        ("call query(in0, in1) | %1 = Exp(in0)", "%1 = Sub(in0, in1)", ATTENTION, "self is given in another order"),
        ("%1 = Exp(in0)", "%1 = Sub(in0, in1)", ATTENTION, "self is given in another order"),
        ("call q.{0..1}(in0, in1)", "%1 = Sub(in0, in1)", ATTENTION, "self is given in another order"),
        ("call other(in0, in1)", "%1 = Sub(in0, in1)", ATTENTION, "self is given in another order"),
    ],
)
def test_an_exchange_is_of_the_one_line_that_reads_both(inner: str, query: str, expected: str, words: str) -> None:
    before, after = (
        programs(**{f"{ATTENTION}": given, f"{ATTENTION}.self": inner, f"{ATTENTION}.self.query": query})
        for given in GIVEN
    )
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.module) == ("ops.changed", expected)
    assert finding.message.startswith(words)


def test_a_child_that_calls_itself_in_a_file_that_was_edited_is_followed_to_no_end() -> None:
    before, after = (
        programs(pooler=given.replace("self", "dense"), pooler__dense="call (in0, in1)") for given in GIVEN
    )
    assert found(before, after) == [("ops.changed", "pooler")]


def test_a_renamed_input_changes_no_program() -> None:
    def of(name: str, read: str) -> Record:
        record = programs(
            embeddings=f"call word(input {read}) | %1 = Relu(input {read})", embeddings__word="%1 = Abs(in0)"
        )
        record["inputs"][0]["name"] = name
        return record

    assert found(of("input_ids", "input_ids"), of("ids", "ids")) == [("io.renamed", None)]
    assert found(of("ids", "ids"), of("ids", "attention_mask")) == [("ops.changed", "embeddings")]


def test_values_that_are_made_in_a_circle_or_by_nobody_are_read_in_files_that_were_edited() -> None:
    circle = programs(head="%1 = Transpose(%2) | %2 = Transpose(%1) | %3 = MatMul(in0, %1)")
    assert of_stage(programs(head=QUANTIZED), circle) == [("quantization.lost", HEAD)]
    (finding,) = compare_exports(programs(pooler="%1 = Relu(%9)"), programs(pooler="%1 = Relu(in0)")).findings
    assert finding.message == "Relu: input %9 -> in0"
