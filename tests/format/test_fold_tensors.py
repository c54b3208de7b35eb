"""Inputs and outputs fold without losing their order, and unfold to what they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.record import TensorRow
from pytest_htp.format.tensors import fold_tensors, list_tensors


def tensor(name: str, module: str | None = None, dims: int = 4, every: int = 1) -> TensorRow:
    return TensorRow(name=name, dtype="FLOAT", dims=[dims], module=module, every=every)


def caches(layers: int) -> list[TensorRow]:
    rows = [tensor("logits", "lm_head")]
    for layer in range(layers):
        for kind in ("keys", "values"):
            rows.append(tensor(f"past.layers.{layer}.{kind}", f"model.layers.{layer}.self_attn"))
    return rows


def test_caches_of_all_layers_take_two_rows() -> None:
    folded = fold_tensors(caches(126))
    assert [(row.name, row.module, row.every) for row in folded] == [
        ("logits", "lm_head", 1),
        ("past.layers.{0..125}.keys", "model.layers.{0..125}.self_attn", 2),
        ("past.layers.{0..125}.values", "model.layers.{0..125}.self_attn", 2),
    ]
    assert list_tensors(folded) == caches(126)


def test_makers_may_be_numbered_differently() -> None:
    rows = [tensor("hidden.0", "embed"), *(tensor(f"hidden.{i + 1}", f"layer.{i}") for i in range(5))]
    folded = fold_tensors(rows)
    assert [(row.name, row.module) for row in folded] == [
        ("hidden.0", "embed"),
        ("hidden.{1..5}", "layer.{0..4}"),
    ]
    assert list_tensors(folded) == rows


def test_the_faster_number_may_be_the_inner_one() -> None:
    rows = [tensor(f"present.{layer}.{kind}") for layer in range(6) for kind in range(2)]
    folded = fold_tensors(rows)
    assert [(row.name, row.every) for row in folded] == [
        ("present.{0..5}.0", 2),
        ("present.{0..5}.1", 2),
    ]
    assert list_tensors(folded) == rows


def test_swapped_tensors_stand_out() -> None:
    rows = caches(4)
    rows[3], rows[5] = rows[5], rows[3]
    folded = fold_tensors(rows)
    assert list_tensors(folded) == rows
    assert len(folded) > 3


def test_which_of_a_modules_values_it_is_stays_apart() -> None:
    rows = [replace(tensor(f"output.{place}", "head"), value=f"Split.{place}") for place in range(2)]
    assert list_tensors(fold_tensors(rows)) == rows


_names = st.lists(st.sampled_from(["0", "1", "2", "3", "a", "{0}", "50%"]), min_size=1, max_size=3).map(".".join)


@given(st.lists(st.tuples(_names, st.none() | _names, st.sampled_from([4, 8])), max_size=12))
def test_unfolding_gives_the_rows_back(values: list[tuple[str, str | None, int]]) -> None:
    unique = {name: tensor(name, module, dims) for name, module, dims in values}
    rows = list(unique.values())
    assert list_tensors(fold_tensors(rows)) == rows


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([tensor("a.{0..9}", every=2)], "gap"),
        ([tensor("a.{0..1}", every=2)], "gap"),
        ([tensor("a.{0..1}", every=2), tensor("b.{0..1}")], "have place 2"),
        ([tensor("a.{0..2}", "m.{0..1}")], "2 modules"),
        ([tensor("a.{0..999999999}")], "stands for"),
    ],
)
def test_hostile_rows_are_refused(rows: list[TensorRow], reason: str) -> None:
    with pytest.raises(HTPUsageError, match=reason):
        list_tensors(rows)


@pytest.mark.parametrize(
    ("modules", "folded"),
    [
        (("layer.0", "layer.1"), ["x.{0..1}"]),
        (("layer.0", "layer.0"), ["x.{0..1}"]),
        (("layer.0", "layer.2"), ["x.0", "x.1"]),  # a pattern would stand for other modules
        (("layer.1", "layer.0"), ["x.0", "x.1"]),
    ],
)
def test_only_consecutive_makers_share_a_row(modules: tuple[str, str], folded: list[str]) -> None:
    rows = [tensor(f"x.{place}", module) for place, module in enumerate(modules)]
    found = fold_tensors(rows)
    assert [row.name for row in found] == folded
    assert list_tensors(found) == rows


def test_of_two_numbers_in_a_name_the_one_that_gives_fewer_rows_is_folded() -> None:
    rows = [tensor(f"past.{layer}.{part}") for layer in range(3) for part in range(2)]
    assert [row.name for row in fold_tensors(rows)] == ["past.{0..2}.0", "past.{0..2}.1"]
    rows = [tensor(f"past.{layer}.{part}") for layer in range(2) for part in range(3)]
    assert [row.name for row in fold_tensors(rows)] == ["past.0.{0..2}", "past.1.{0..2}"]
