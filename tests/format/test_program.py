"""One grammar of a program's lines: what is written is read again, whatever modules are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.format.program import Line, called_paths, fold_calls, parse_line, plain_name, split_values

segments = st.one_of(
    st.integers(0, 3).map(str),
    st.sampled_from(["01", "00", "blk", "a%b", "a%25b", "{0..1}", "in0", "in1", "a b", "(", ",", "1234567890", "é"]),
)
paths = st.lists(segments, min_size=1, max_size=3).map(".".join)


@given(st.lists(paths, max_size=6, unique=True))
def test_every_child_that_is_called_is_read_from_its_line_again(called: list[str]) -> None:
    lines = [f"call {plain_name(path)}({plain_name(path)}:Add, in{place})" for place, path in enumerate(called)]
    read = [path for line in fold_calls(lines) for path in called_paths(parse_line(line).name)]
    assert read == called


def test_calls_fold_where_numbers_rise_evenly() -> None:
    calls = [f"call layer.{n}(layer.{n - 1}.norm:Add, in1, in{n + 4}, input past.{n}.key)" for n in range(1, 5)]
    assert fold_calls(["call layer.0(%3, in1)", *calls]) == [
        "call layer.0(%3, in1)",
        "call layer.{1..4}(layer.{0..3}.norm:Add, in1, in{5..8}, input past.{1..4}.key)",
    ]
    assert fold_calls([calls[0], calls[2], calls[3]]) != fold_calls(calls[:3])
    assert fold_calls(["call a.0(in0)", "call a.0(in0)"]) == ["call a.0(in0)", "call a.0(in0)"]
    assert fold_calls(["call a.1(in0)", "call a.0(in0)"]) == ["call a.1(in0)", "call a.0(in0)"]
    assert fold_calls(["call a.0()", "call a.1()"]) == ["call a.{0..1}()"]
    assert fold_calls([]) == []
    # every other child: ranges would stand for those between as well
    assert fold_calls(["call 2(0:Gemm)", "call 4(2:Gemm)"]) == ["call 2(0:Gemm)", "call 4(2:Gemm)"]
    assert fold_calls(["call 2(in0)", "call 3(in2)", "call 4(in4)"]) == ["call {2..4}(in{0..4})"]
    assert fold_calls(["call 0.0(in0)", "call 1.0(in0)", "call 1.1(in0)"]) == ["call {0..1}.0(in0)", "call 1.1(in0)"]


def test_what_is_no_number_is_left_as_it_is_called() -> None:
    # A module list counts without leading zeros; "blk.01" is a name, as GGUF has it.
    calls = ["call blk.01(in0)", "call blk.02(in0)", "call x(%1, 3:f)"]
    assert fold_calls(calls) == calls
    assert fold_calls(["call a.0(f32 [2])", "call a.0(f32 [3])"]) == ["call a.0(f32 [2])", "call a.0(f32 [3])"]


def test_ranges_of_a_call_rise_together() -> None:
    assert called_paths("layer.{1..3}.norm.{0..2}") == ["layer.1.norm.0", "layer.2.norm.1", "layer.3.norm.2"]
    assert called_paths("layer.norm") == ["layer.norm"]
    assert called_paths("a%25b.%7B0%7D") == ["a%b.{0}"]
    assert len(called_paths("layer.{0..999999}")) == 1000


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("call a.b(%1, in0)", ("a.b", True, 0, ("%1", "in0"), ())),
        ("%12 = Add(%1, x:Mul.1)", ("Add", False, 12, ("%1", "x:Mul.1"), ())),
        ("%2 = Cast(in0; to=FLOAT)", ("Cast", False, 2, ("in0",), (("to", "FLOAT"),))),
        ("%3 = Constant(; value=(1, 2), name=a)", ("Constant", False, 3, (), (("value", "(1, 2)"), ("name", "a")))),
        ("%4 = If(in0; then=(%1, %2), else=(%3))",
         ("If", False, 4, ("in0",), (("then", "(%1, %2)"), ("else", "(%3)")))),
        ("edited by hand", ("edited by hand", False, 0, (), ())),
    ],
)  # fmt: skip
def test_lines(text: str, line: tuple[str, bool, int, tuple[str, ...], tuple[tuple[str, str], ...]]) -> None:
    assert parse_line(text) == Line(text, *line)


def test_values_are_split_outside_of_parentheses() -> None:
    assert list(split_values("a, (b, (c, d)), e,f")) == ["a", "(b, (c, d))", "e,f"]
    assert list(split_values("")) == []
