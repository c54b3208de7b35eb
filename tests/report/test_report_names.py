"""Exports under names that tell them apart, also where there is little room."""

from __future__ import annotations

from html import unescape

import pytest
from htp_sample_results import build_report, record, result, row
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.monitor.text import shorten
from pytest_htp.report.markdown import render_markdown
from pytest_htp.report.names import cut_apart, labels, under_labels
from pytest_htp.report.terminal import summary_lines


def cut(*names: str, width: int = 21) -> list[str]:
    return cut_apart(names, width)


@pytest.mark.parametrize(
    ("nodeids", "expected"),
    [
        (["a.py::test_m", "b.py::test_n"], ["test_m", "test_n"]),
        (["t/a.py::A::test_m", "t/a.py::B::test_m"], ["A::test_m", "B::test_m"]),
        (["t/a/m.py::A::test_m", "t/b/m.py::A::test_m"], ["a/m.py::A::test_m", "b/m.py::A::test_m"]),
        (
            ["m.py::A::test_m[x/y::z]", "t/m.py::A::test_m[x/y::z]"],
            ["m.py::A::test_m[x/y::z]", "t/m.py::A::test_m[x/y::z]"],
        ),
    ],
)
def test_inherited_tests_are_told_apart(nodeids: list[str], expected: list[str]) -> None:
    clean = record([row("", "M", {"Add": 1})], "M")
    results = []
    for nodeid in nodeids:
        name = "::".join(nodeid.split("::")[nodeid.split("[")[0].count("::") :])
        results.append({**result(name, clean, clean), "nodeid": nodeid})
    report = build_report(results, {})
    assert sorted(labels(report.exports).values()) == sorted(expected)
    table = [line for line, _ in summary_lines(report, width=120)]
    for name in expected:
        assert any(name in line for line in table)
        assert name in unescape(render_markdown(report))


def test_records_are_typed_once() -> None:
    clean = record([row("", "M", {"Add": 1})], "M")
    results = build_report([result("t", clean, clean)], {}).exports
    typed = results[0].current
    assert under_labels(results)[0].current is typed


def test_what_differs_is_kept() -> None:
    names = [f"test_onnx_export[{model}-None-dict_outputs]" for model in ("bert-base-uncased", "roberta-base", "t5")]
    assert cut(*names) == ["tes…ort[bert-b…cased…", "tes…ort[roberta-base…", "tes…ort[t5…"]
    assert cut(*names, width=60) == names
    alone = "test_a_function_with_a_long_name_of_its_own"
    assert cut(alone) == [shorten(alone, 21)]
    first, second = cut("test_export_of_the_encoder_with_a_mask", "test_export_of_the_decoder_with_a_mask")
    assert first != second


@given(
    st.lists(st.text("ab-_", min_size=1, max_size=12), min_size=2, max_size=12, unique=True),
    st.text("xyz", max_size=60),
    st.text("xyz", max_size=60),
    st.booleans(),
)
def test_names_that_differ_in_few_characters_stay_apart(
    parts: list[str], before: str, behind: str, called: bool
) -> None:
    names = [f"test_m[{before}{part}{behind}]" if called else f"test_{before}{part}{behind}" for part in parts]
    short = cut(*names)
    assert len(set(short)) == len(names)
    assert all(len(text) <= 21 for text in short)


def test_a_wide_terminal_shows_names_whole_and_a_narrow_one_stays_within_its_width() -> None:
    clean = record([row("", "M", {"Add": 1})], "AVeryLongNameOfAModelForConditionalGeneration")
    report = build_report([result(f"test_{'n' * 30}[{number}]", clean, clean) for number in range(3)], {})
    wide = [line for line, _ in summary_lines(report, width=150)]
    assert wide[1].split()[1:3] == [f"test_{'n' * 30}[0]", "AVeryLongNameOfAModelForConditionalGeneration"]
    assert max(map(len, wide)) <= 150
    assert max(len(line) for line, _ in summary_lines(report)) <= 80
