"""Folding repeated layers, and unfolding what may come from a hostile file."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import fold_paths, fold_rows, unfold_rows
from pytest_htp.format.paths import escape_path, expand_pattern, natural_key
from pytest_htp.format.record import PathRow, PlacementRow


def rows_of(contents: dict[str, int]) -> list[PlacementRow]:
    return [PlacementRow(path=path, devices={"CPU": value, "NPU": 1}) for path, value in contents.items()]


def folded(contents: dict[str, int]) -> dict[str, int]:
    return {row.path: row.devices["CPU"] for row in fold_rows(rows_of(contents))}


def test_equal_layers_share_a_row_and_a_differing_one_stands_out() -> None:
    contents = {f"encoder.layer.{index}.attention": 1 for index in range(12)}
    assert folded(contents) == {"encoder.layer.{0..11}.attention": 1}
    contents["encoder.layer.5.attention"] = 2
    assert folded(contents) == {"encoder.layer.{0..4,6..11}.attention": 1, "encoder.layer.5.attention": 2}


def test_several_positions_fold_into_exact_products_only() -> None:
    grid = {f"stages.{i}.blocks.{j}": 1 for i in range(2) for j in range(3)}
    assert folded(grid) == {"stages.{0..1}.blocks.{0..2}": 1}
    del grid["stages.1.blocks.2"]
    assert sorted(path for pattern in folded(grid) for path in expand_pattern(pattern)) == sorted(grid)
    assert len(folded(grid)) == 2


def test_of_two_ways_to_fold_the_one_with_fewer_patterns_is_taken() -> None:
    inner = ["0.0", "0.1", "1.0", "1.2", "2.0", "2.3"]
    assert fold_paths(inner) == ["0.{0..1}", "1.{0,2}", "2.{0,3}"]
    assert fold_paths(".".join(reversed(path.split("."))) for path in inner) == ["{0..1}.0", "{0,2}.1", "{0,3}.2"]


def test_order_is_natural_and_the_root_comes_first() -> None:
    contents = {"b": 1, "a.10": 1, "a.9": 2, "": 3, "a": 4}
    assert list(folded(contents)) == ["", "a", "a.9", "a.10", "b"]
    assert natural_key("a.9.x") < natural_key("a.10.x") < natural_key("a.b")


def test_a_126_layer_model_takes_as_many_rows_as_a_12_layer_one() -> None:
    def rows(layers: int) -> list[PlacementRow]:
        return fold_rows(rows_of({f"layer.{i}.{name}": 1 for i in range(layers) for name in ("a", "b.c")}))

    assert len(rows(126)) == len(rows(12)) == 2


@pytest.mark.parametrize("name", ["{0..3}", "a{b", "100%", "%7B", "}", "01", "x.007.y", "٣"])
def test_odd_names_stand_for_themselves(name: str) -> None:
    assert expand_pattern(escape_path(name)) == [name]
    assert fold_paths([name]) == [escape_path(name)]


@pytest.mark.parametrize(
    "pattern",
    [
        "a.{0..999999999}",
        "a.{0..99999}.b.{0..99999}",
        "{}",
        "a.{1..0}",
        "a.{3,1}",
        "a.{x}",
        "a{1}",
        "{1",
        "{12",
        "12}",
        "1}.{",
        "{0..1}{2}",
        "{{0}}",
        "{0...2}",
        "{-1}",
        "{0..1",
        "a.}0{",
    ],
)
def test_hostile_and_malformed_patterns_are_refused_at_once(pattern: str) -> None:
    start = time.perf_counter()
    with pytest.raises(HTPUsageError, match="pattern"):
        expand_pattern(pattern)
    assert time.perf_counter() - start < 1


def test_many_patterns_are_bounded_together() -> None:
    rows = [PathRow(path=f"m{index}.{{0..99999}}") for index in range(100)]
    with pytest.raises(HTPUsageError, match="stands for"):
        unfold_rows(rows)


def test_a_module_described_twice_is_refused() -> None:
    with pytest.raises(HTPUsageError, match=r"'a\.1'"):
        unfold_rows([PathRow(path="a.{0..2}"), PathRow(path="a.1")])
    with pytest.raises(HTPUsageError, match=r"'a\.1'"):
        fold_rows([PathRow(path="a.1"), PathRow(path="a.1")])


def test_the_order_of_a_histogram_is_no_difference() -> None:
    rows = [
        PlacementRow(path="a.0", devices={"CPU": 1, "NPU": 2}),
        PlacementRow(path="a.1", devices={"NPU": 2, "CPU": 1}),
    ]
    assert [row.path for row in fold_rows(rows)] == ["a.{0..1}"]


names = st.one_of(st.integers(0, 12).map(str), st.sampled_from(["a", "b", "layer", "{0..2}", "50%", "é", "\x1b"]))
paths = st.lists(names, min_size=1, max_size=5).map(".".join) | st.just("")


@given(st.dictionaries(paths, st.integers(0, 2), max_size=40))
def test_unfolding_gives_back_every_row(contents: dict[str, int]) -> None:
    rows = rows_of(contents)
    result = fold_rows(rows)
    assert {row.path: row for row in unfold_rows(result)} == {row.path: row for row in rows}
    assert fold_rows(unfold_rows(result)) == result
    assert fold_rows(reversed(rows)) == result


@given(st.text("a0.{},%1", max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        expanded = expand_pattern(text, 1000)
    except HTPUsageError:
        return
    assert expanded


def test_patterns_come_in_natural_order_of_their_first_paths() -> None:
    paths = ["l.b", "l.7", "l.a", "l.3.x", "l.10.x", "l.8"]
    assert fold_paths(paths) == ["l.{3,10}.x", "l.{7..8}", "l.a", "l.b"]
