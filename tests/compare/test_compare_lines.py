"""Two programs of one module: which lines are each other's, and what is said of each difference."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import pytest

from pytest_htp.compare import lines
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.lines import Differences, diff_programs
from pytest_htp.format.program import Line
from tests.compare._records import bert, changed


def differences(before: str, after: str) -> Differences:
    """Lines are separated by ``|``."""
    old, new = (tuple(text.strip() for text in side.split(" | ") if text.strip()) for side in (before, after))
    return diff_programs(old, new)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("%1 = Softmax(in0; axis=-1)", "%1 = Softmax(in0; axis=1)", ["Softmax: axis -1 -> 1"]),
        ("%1 = Softmax(in0)", "%1 = Softmax(in0; axis=1)", ["Softmax: axis default -> 1"]),
        ("%1 = Gemm(in0; alpha=2, b=1)", "%1 = Gemm(in0; b=1)", ["Gemm: alpha 2 -> default"]),
        ("%1 = Gemm(in0; a=1, b=2)", "%1 = Gemm(in0; b=1, a=2)", ["Gemm: a 1 -> 2", "Gemm: b 2 -> 1"]),
        ("%1 = Relu(a:f)", "%1 = Relu(b:f)", ["Relu: input a:f -> b:f"]),
        ("%1 = Sub(a:f, b:f)", "%1 = Sub(a:f, c:f)", ["Sub: input 2 b:f -> c:f"]),
        ("%1 = Sub(a:f, b:f)", "%1 = Sub(c:f, d:f)", ["Sub: input 1 a:f -> c:f; input 2 b:f -> d:f"]),
        ("%1 = Clip(a:f, f32 0)", "%1 = Clip(a:f)", ["Clip: input 2 f32 0 -> none"]),
        ("%1 = Sub(in0, x:f)", "%1 = Sub(x:f, in0)", ["Sub: inputs exchanged: in0, x:f -> x:f, in0"]),
        ("%1 = Concat(a:f, b:f)", "%1 = Concat(b:f, a:f)", ["Concat: order of inputs: a:f, b:f -> b:f, a:f"]),
        ("%1 = Add(a:f, b:f)", "%1 = Add(b:f, a:f)", []),
        ("%1 = Add(a:f, b:f)", "%1 = Add(c:f, a:f)", ["Add: input b:f -> c:f"]),
        ("%1 = Split(in0) | %2 = Sub(%1, %1.1)", "%1 = Split(in0) | %2 = Sub(%1.1, %1)",
         ["Sub: inputs exchanged: Split, Split.1 -> Split.1, Split"]),
        ("%1 = Relu(in0) | %2 = Abs(%1)", "%1 = Abs(in0)", ["Abs: input Relu -> in0", "Relu is gone"]),
        ("%1 = Abs(in0)", "%1 = Relu(in0) | %2 = Abs(%1)", ["Abs: input in0 -> Relu", "new Relu"]),
        ("%1 = Relu(in0) | %2 = Abs(in0) | %3 = If(in1; then=(%1))",
         "%1 = Relu(in0) | %2 = Abs(in0) | %3 = If(in1; then=(%2))", ["If: then (Relu) -> (Abs)"]),
        ("call c(a:f, b:f)", "call c(a:f, c:f)", ["c is given value 2 b:f -> c:f"]),
        ("call c(a:f, b:f)", "call c(b:f, a:f)", ["c is given in another order: a:f, b:f -> b:f, a:f"]),
        ("call c(in0)", "", ["call of c is gone"]),
        ("", "call c(in0)", ["new call of c"]),
        ("call c(in0) | call d(in0)", "call d(in0) | call c(in0)", []),
        ("edited", "edited by hand", ["edited is gone", "new edited by hand"]),
        # the same in other numbers
        ("%1 = Relu(in0) | %2 = Abs(in1) | %3 = Sub(%1, %2)", "%1 = Abs(in0) | %2 = Relu(in1) | %3 = Sub(%2, %1)", []),
    ],
)  # fmt: skip
def test_what_is_said(before: str, after: str, words: list[str]) -> None:
    assert [each.words for each in differences(before, after).found] == words


def test_what_is_known_of_a_difference() -> None:
    (found,) = differences("%1 = Where(a:f, b:f, c:f)", "%1 = Where(a:f, c:f, b:f)").found
    assert (found.before, found.after) == ("%1 = Where(a:f, b:f, c:f)", "%1 = Where(a:f, c:f, b:f)")
    assert (found.values, found.order, found.callee) == ((("b:f", "c:f"), ("c:f", "b:f")), (1, 2), None)
    (found,) = differences("call c(x:f, a:f, b:f)", "call c(x:f, b:f, a:f)").found
    assert (found.order, found.callee) == ((1, 2), "c")
    (found,) = differences("%1 = Sub(a:f, b:f)", "%1 = Sub(a:f, c:f)").found
    assert (found.values, found.order) == ((("b:f", "c:f"),), ())
    gone, new = differences("call c(in0)", "call d(in0)").found
    assert (gone.before, gone.after, gone.callee) == ("call c(in0)", None, "c")
    assert (new.before, new.after, new.callee) == (None, "call d(in0)", "d")


@pytest.mark.parametrize(
    ("before", "after", "outside"),
    [
        ("%1 = Sub(in0, in1)", "%1 = Sub(in1, in0)", {0: 1, 1: 0}),
        ("call c(in0, in1)", "call c(in1, in0)", {0: 1, 1: 0}),
        ("%1 = Sub(in0, in1)", "%1 = Sub(in0, in1)", {}),
        # most lines that read them say so
        ("%1 = Relu(in0) | %2 = Abs(in0) | %3 = Exp(in1)", "%1 = Relu(in1) | %2 = Abs(in1) | %3 = Exp(in1)", {1: 0}),
        # what is left of an operator that takes them in any order
        ("%1 = Add(in0, in1) | %2 = Relu(in1)", "%1 = Add(in0, in1) | %2 = Relu(in0)", {0: 1, 1: 0}),
        ("%1 = Add(in0, in1)", "%1 = Add(in0, in1)", {}),
    ],
)
def test_values_from_outside_are_followed_by_what_reads_them(before: str, after: str, outside: dict[int, int]) -> None:
    assert differences(before, after).outside == outside


def test_of_several_lines_the_likest_is_the_same_one() -> None:
    before = "%1 = Conv(in0, parameter a; strides=[1])"
    after = "%1 = Conv(in0, parameter b; strides=[2]) | %2 = Conv(in0, parameter a; strides=[3])"
    assert [each.words for each in differences(before, after).found] == ["Conv: strides [1] -> [3]", "new Conv"]
    before = "%1 = Mul(in0, UINT8 of rank 4)"
    after = "%1 = Mul(in0, FLOAT of rank 1) | %2 = Mul(in0, UINT8 of rank 3)"
    assert differences(before, after).found[0].words == "Mul: input UINT8 of rank 4 -> UINT8 of rank 3"
    before = "%1 = Exp(x:f) | %2 = Mul(a:f, b:f)"
    after = "%1 = Mul(a:f, d:f) | %2 = Mul(a:f, c:f)"  # equally like: the nearest
    assert differences(before, after).found[0].after == "%2 = Mul(a:f, c:f)"


@pytest.mark.parametrize(("place", "found"), [(63, 63), (64, 1)])
def test_the_likest_is_looked_for_among_the_first_64(place: int, found: int) -> None:
    lines = [f"%{n} = Conv(in0, parameter {'a' if n == place else f'x{n}'}; strides=[{n}])" for n in range(66)]
    differences = diff_programs(("%1 = Conv(in0, parameter a; strides=[99])",), tuple(lines)).found
    assert differences[0].after == lines[found]


@pytest.mark.parametrize(("count", "ending"), [(4, "Exp: a 0 -> 1"), (5, "Exp: a 0 -> 1; 1 more")])
def test_four_differences_of_a_module_are_said(count: int, ending: str) -> None:
    operators = ["Sin", "Cos", "Tan", "Exp", "Log"][:count]
    before, after = (
        changed(lambda rows, a=a: rows["pooler"].update(program=[f"%1 = {name}(in0; a={a})" for name in operators]))
        for a in (0, 1)
    )
    (finding,) = compare_exports(before, after).findings
    assert finding.message.endswith(ending)


def test_very_long_programs_are_compared_without_difflib(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = "%1 = Relu(a:f) | %2 = Exp(b:f) | %3 = Abs(c:f)", "%1 = Exp(a:f) | %2 = Exp(b:f) | %3 = Log(c:f)"
    expected = differences(before, after).found
    diff_programs.cache_clear()
    monkeypatch.setattr(lines, "_LONGEST", 2)
    assert differences(before, after).found == expected
    diff_programs.cache_clear()


def test_difflib_is_given_up_to_four_thousand_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    class Watched(SequenceMatcher[object]):
        def __init__(self, junk: None, a: Sequence[object], b: Sequence[object], autojunk: bool) -> None:
            given.append((len(a), len(b)))
            super().__init__(junk, a, b, autojunk)

    monkeypatch.setattr(lines, "SequenceMatcher", Watched)
    for count in (4000, 4001):
        middle = [f"%{number} = Op{number}(in0)" for number in range(2, count)]
        before, after = ([f"%1 = {name}(in0)", *middle, f"%{count} = {name}(in0)"] for name in ("Sin", "Cos"))
        assert len(diff_programs(tuple(before), tuple(after)).found) == 4  # two gone, two new
    assert given == [(4000, 4000)]


def test_a_program_changes_its_module() -> None:
    before, after = (
        changed(lambda rows, axis=axis: rows["pooler"].update(program=[f"%1 = Tanh(in0; axis={axis})"]))
        for axis in (0, 1)
    )
    (finding,) = compare_exports(before, after).findings
    assert (finding.code, finding.module, finding.message) == ("ops.changed", "pooler", "Tanh: axis 0 -> 1")
    assert not compare_exports(before, bert()).findings


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        # a line's number alone is another: nothing
        ("%1 = A(in0) | %2 = B(%1) | %3 = C(%2)", "%1 = A(in0) | %2 = B(%1) | %3 = C(%2)", []),
        ("%1 = A(in0) | %2 = C(%1)", "%1 = A(in0) | %2 = B(%1) | %3 = C(%2)", ["C: input A -> B", "new B"]),
        # the end reads what the middle makes, which is what it was
        ("%1 = A(in0) | %2 = B(%1; a=1) | %3 = C(%2) | %4 = D(%2)",
         "%1 = A(in0) | %2 = B(%1; a=2) | %3 = C(%2) | %4 = D(%2)", ["B: a 1 -> 2"]),
        # … and what it was not: two lines of the middle have changed places
        ("%1 = A(in0) | %2 = B(%1) | %3 = B(%2) | %4 = C(%2)",
         "%1 = A(in0) | %2 = X(%1) | %3 = B(%1) | %4 = B(%3) | %5 = C(%4)", ["C: input B(A) -> B(B)", "new X"]),
        # one line for two, and two for one
        ("%1 = A() | %2 = A(a=1) | %3 = C(%1, %2)", "%1 = A() | %2 = A(a=1) | %3 = C(%1, %1)",
         ["C: input 2 A(a=1) -> A()"]),
        ("%1 = A() | %2 = A(a=1) | %3 = C(%1, %1)", "%1 = A() | %2 = A(a=1) | %3 = C(%1, %2)",
         ["C: input 2 A() -> A(a=1)"]),
        # a name that looks like a number
        ("%1 = A(parameter %20) | %2 = C(%1)", "%1 = A(parameter %21) | %2 = C(%1)",
         ["A: input parameter %20 -> parameter %21"]),
    ],
)  # fmt: skip
def test_ends_of_programs_are_equal_if_what_they_read_is(before: str, after: str, words: list[str]) -> None:
    assert sorted(each.words for each in differences(before, after).found) == words


@pytest.mark.parametrize(("edit", "words"), [("; axis=1", ["Sin: axis default -> 1"]), ("", [])])
def test_of_a_long_program_only_what_differs_is_parsed(
    edit: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def parse_line(text: str) -> Line:
        parsed.append(text)
        return real(text)

    real = lines.parse_line
    monkeypatch.setattr(lines, "parse_line", parse_line)
    before = ["%1 = Sin(input x)", *(f"%{n} = Sin(%{n - 1})" for n in range(2, 200))]
    after = [line.replace(")", f"{edit})") if line.startswith("%100 ") else line for line in before]
    diff_programs.cache_clear()
    assert [each.words for each in diff_programs(tuple(before), tuple(after)).found] == words
    diff_programs.cache_clear()
    assert len(parsed) == 2 * len(words)
