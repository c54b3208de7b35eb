from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp import text as words
from pytest_htp.report import text
from pytest_htp.report.paths import parse_path


@given(st.text(), st.integers(3, 50))
def test_inert_text_is_printable_and_short(value: str, limit: int) -> None:
    assert text.inert(value).isprintable()
    assert text.inert(value, newlines=True).replace("\n", "").replace("\t", "").isprintable()
    assert len(text.shorten(value, limit)) <= limit


def test_inert_text_shows_what_it_replaced() -> None:
    assert text.inert("a\x1b[31m\u202eb") == r"a\x1b[31m\u202eb"
    assert text.inert("é 中 🙂") == "é 中 🙂"
    assert text.shorten("encoder.layer.0.attention", 11) == "encod…ntion"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.percent(99.9999), "99.99%"),
        (text.percent(100.0), "100%"),
        (text.percent(None), "–"),
        (text.size(17_545_680), "17.5 MB"),
        (text.size(999), "999 B"),
        (text.size(1_004_000_000), "1 GB"),
        (text.duration(0.0042), "4.2 ms"),
        (text.duration(4.35), "4.35 s"),
        (text.duration(200), "3 min 20 s"),
        (text.signed(12), "+12"),
        (text.signed(-1.08, " pt"), "−1.08 pt"),
        (text.signed(0), "±0"),
        (text.number(8_077), "8,077"),
        (words.plural(1, "export"), "1 export"),
    ],
)
def test_numbers_read_well(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("layer.{0..3,6}.x", "layer.6.x", True),
        ("layer.{0..3,6}.x", "layer.5.x", False),
        ("layer.{0..3}.x", "layer.{3..9}.x", True),
        ("layer.{0..3}.x", "layer.{0..3}.y", False),
        ("stages.{0..1}.blocks.{0..1}", "stages.1.blocks.2", False),
        ("a.\0", "a.5", False),
        ("", "", True),
        ("blk.01", "blk.1", False),
        ("conv1", "conv{1}", False),
        ("a%25b", "a%b", True),
    ],
)
def test_patterns_overlap(one: str, other: str, expected: bool) -> None:
    assert parse_path(one).overlaps(parse_path(other)) is expected
    assert parse_path(other).overlaps(parse_path(one)) is expected


def test_a_pattern_counts_its_product_without_expanding() -> None:
    assert parse_path("stages.{0..1}.blocks.{0..2,5}").count == 8
    assert parse_path("layer.{0..999999999}").count == 10**9
    assert parse_path("layer." + "9" * 5_000).count == 1


@given(st.text(), st.text())
def test_any_text_is_a_path(one: str, other: str) -> None:
    assert parse_path(one).overlaps(parse_path(one)) or parse_path(one).count == 0
    assert parse_path(one).overlaps(parse_path(other)) in (True, False)
