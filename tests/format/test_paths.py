"""One grammar of paths: parsing, expanding, folding and comparing agree, whatever modules are called."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import fold_alike, fold_paths
from pytest_htp.format.paths import (
    Neighbourhood,
    ancestors,
    common_prefix,
    depth_of,
    escape_path,
    expand_pattern,
    join_path,
    last_segment,
    lies_in,
    natural_key,
    nearest,
    number_in,
    owner_of,
    parent_of,
    parse_pattern,
    relative_to,
    split_path,
    split_pattern,
    topmost,
    without_common_end,
)

# Names that mean something to one part of the grammar or another; torch allows all but dots in them, GGUF has "blk.01".
hostile = st.one_of(
    st.integers(0, 4).map(str),
    st.sampled_from(
        ["a%b", "%25", "%7B", "01", "00", "blk", "{", "}", "{0", "1}", "{0,1}", "{3}", "%", "-1", "1_0", "٣"]
    ),
    st.text("{}%,0123a", min_size=1, max_size=6),
)
paths = st.lists(hostile, max_size=4).map(".".join)
# Raw tensor names may hold any dots.
dotted = st.text("{}%.,019a", max_size=12)


@given(paths | dotted)
def test_a_path_survives_every_way_through_the_grammar(path: str) -> None:
    pattern = escape_path(path)
    parsed = parse_pattern(pattern)
    assert expand_pattern(pattern) == [path] == list(parsed.paths())
    assert parsed.count == 1
    assert parsed.template == split_path(path)[0]
    assert ".".join(split_pattern(pattern)) == pattern
    assert fold_paths([path]) == [pattern]


@given(st.sets(paths, max_size=12))
def test_folding_and_expanding_agree(raw: set[str]) -> None:
    patterns = fold_paths(raw)
    found = [path for pattern in patterns for path in expand_pattern(pattern)]
    assert sorted(found) == sorted(raw)
    for pattern in patterns:
        assert parse_pattern(pattern).count == len(expand_pattern(pattern))
        assert ".".join(split_pattern(pattern)) == pattern
    firsts = [natural_key(expand_pattern(pattern)[0]) for pattern in patterns]
    assert firsts == sorted(firsts)


@given(st.sets(paths, min_size=1, max_size=8), st.sets(paths, min_size=1, max_size=8))
def test_patterns_overlap_exactly_where_they_share_a_path(one: set[str], other: set[str]) -> None:
    for left in fold_paths(one):
        for right in fold_paths(other):
            shared = set(expand_pattern(left)) & set(expand_pattern(right))
            assert parse_pattern(left).overlaps(parse_pattern(right)) is bool(shared), (left, right)


@given(st.lists(st.tuples(paths, st.booleans()), unique_by=lambda item: item[0], max_size=12))
def test_folding_what_is_alike_keeps_order_and_invents_nothing(items: list[tuple[str, bool]]) -> None:
    folded = fold_alike([(path, alike, (path, alike)) for path, alike in items])
    found = [(path, alike) for pattern, (_, alike), _ in folded for path in expand_pattern(pattern)]
    assert sorted(found) == sorted(items)
    assert [len(expand_pattern(pattern)) for pattern, _, _ in folded] == [count for _, _, count in folded]
    firsts = [items.index(first) for _, first, _ in folded]
    assert firsts == sorted(firsts)


@given(paths, paths)
def test_joining_and_taking_apart_agree(outer: str, inner: str) -> None:
    path = join_path(outer, inner)
    assert relative_to(path, outer) == inner
    assert join_path(owner_of(path), last_segment(path)) == path
    enclosing = list(ancestors(path))
    assert all(
        longer == join_path(shorter, relative_to(longer, shorter)) for longer, shorter in itertools.pairwise(enclosing)
    )
    assert not path or enclosing[-1] == ""
    assert parent_of(path) == next(ancestors(path), None)
    assert nearest(path, {outer}) == (outer if inner else None)


@pytest.mark.parametrize(
    ("segment", "number"),
    [
        ("0", 0),
        ("12", 12),
        ("01", None),
        ("", None),
        ("-1", None),
        ("٣", None),
        ("9" * 9, 999_999_999),
        ("1" + "0" * 9, None),
    ],
)
def test_only_what_a_module_list_counts_is_a_number(segment: str, number: int | None) -> None:
    assert number_in(segment) == number


def test_dots_in_braces_do_not_separate() -> None:
    assert split_pattern("encoder.layer.{0..3,6}.attention") == ["encoder", "layer", "{0..3,6}", "attention"]
    assert split_pattern("") == []


def test_a_brace_is_compared_and_counted_without_being_expanded() -> None:
    vast = parse_pattern("a.{0..999999999}.{0..999999999}")
    assert vast.count == 10**18
    assert vast.overlaps(parse_pattern("a.999999999.{5,7}"))
    assert not vast.overlaps(parse_pattern("a.x.5"))
    lower, upper = parse_pattern("a.{0..1}"), parse_pattern("a.{2..3}")
    assert not lower.overlaps(upper)
    assert not upper.overlaps(lower)
    assert parse_pattern("a.{1..2}").overlaps(lower)


def test_what_a_pattern_stands_for_is_counted_before_it_is_listed() -> None:
    assert len(expand_pattern("a.{0..9}.{0..9}", 100)) == 100
    with pytest.raises(HTPUsageError, match="stands for 100 modules; at most 99"):
        expand_pattern("a.{0..9}.{0..9}", 99)


def test_relations() -> None:
    assert [depth_of(path) for path in ("", "a", "a.0.b")] == [0, 1, 3]
    assert topmost(["a.b.c", "a", "b.x", "b.x.y", "c"]) == ["a", "b.x", "c"]
    assert without_common_end("encoder", "bert.encoder") == ("", "bert")
    assert without_common_end("a.b", "x.c") == ("a.b", "x.c")
    near = Neighbourhood(["a.b"])
    assert [path in near for path in ("a.b", "a", "", "a.c", "a.b.x.y", "b", "a.c.x")] == [True] * 5 + [False] * 2
    assert [near.encloses(path) for path in ("a.b", "a.b.c", "a", "a.bc")] == [True, True, False, False]
    assert "" not in Neighbourhood([])
    assert 5 not in near


@pytest.mark.parametrize(
    ("paths", "common"),
    [
        (["a.b"], "a.b"),
        (["a.b", "a.c"], "a"),
        (["a.b", "a.bc"], "a"),
        (["a", "a.b"], "a"),
        (["layer.1", "layer.10"], "layer"),
        (["a", "b"], ""),
        (["", "a.b"], ""),
    ],
)
def test_common_prefix(paths: list[str], common: str) -> None:
    assert common_prefix(paths) == common == common_prefix(paths[::-1])


def test_nothing_has_no_common_prefix() -> None:
    with pytest.raises(ValueError, match="no module paths"):
        common_prefix([])


@pytest.mark.parametrize(
    ("path", "enclosing", "inside"),
    [("a.b", "a", True), ("a", "a", True), ("a", "", True), ("", "", True), ("ab", "a", False), ("a", "a.b", False)],
)
def test_what_lies_in_a_module(path: str, enclosing: str, inside: bool) -> None:
    assert lies_in(path, enclosing) is inside


def test_numbers_come_by_value_and_before_names() -> None:
    paths = ["l.b1.0", "l.b1", "l.a", "l.10", "l.2"]
    assert sorted(paths, key=natural_key) == ["l.2", "l.10", "l.a", "l.b1", "l.b1.0"]


def test_ranges_that_touch_are_rising() -> None:
    assert expand_pattern("l.{0..2,3,4..5}") == [f"l.{number}" for number in range(6)]
    with pytest.raises(HTPUsageError, match="rising numbers"):
        expand_pattern("l.{0..2,2}")
