"""Numbers of one tensor against another."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.parity import differences
from pytest_htp.parity.differences import compare_flat, difference, extremes, magnitude
from pytest_htp.parity.observe import mergeable
from pytest_htp.parity.result import decade
from pytest_htp.parity.tolerance import tolerance_for

finite = st.floats(-1e6, 1e6, width=32)


def test_relative_is_against_the_largest_magnitude() -> None:
    found = difference("y", torch.tensor([0.0, -4.0]), torch.tensor([1.0, -4.0]))
    assert (found.name, found.max_abs, found.max_rel, found.beyond) == ("y", 1.0, 0.25, 0.5)
    assert found.failed


def test_within_tolerance_is_no_failure() -> None:
    expected = torch.tensor([100.0, 0.0])
    assert not difference("y", expected, expected + 5e-3).failed  # atol grows with the tensor: 1e-4 * 100
    assert difference("y", expected, expected + 5e-3, tolerance_for(torch.float32, atol=1e-3)).failed


@pytest.mark.parametrize(
    ("expected", "got", "nonfinite"),
    [
        ([math.nan, 1.0], [math.nan, 1.0], 0),
        ([math.inf, 1.0], [math.inf, 1.0], 0),
        ([math.inf, 1.0], [-math.inf, 1.0], 1),
        ([math.nan, 1.0], [0.0, 1.0], 1),
        ([2.0, 1.0], [math.inf, 1.0], 1),
        ([torch.finfo(torch.float32).min, 1.0], [-math.inf, 1.0], 0),  # two ways to write a mask
    ],
)
def test_nan_and_infinity_are_counted_apart(expected: list[float], got: list[float], nonfinite: int) -> None:
    found = difference("y", torch.tensor(expected), torch.tensor(got))
    assert (found.nonfinite, found.max_abs, found.failed) == (nonfinite, 0.0, nonfinite > 0)


def test_a_mask_value_is_not_the_scale() -> None:
    lowest = torch.finfo(torch.float32).min
    found = difference("y", torch.tensor([lowest, 2.0]), torch.tensor([lowest, 1.0]))
    assert found.max_rel == 0.5


def test_integers_are_exact_beyond_what_floats_hold() -> None:
    assert difference("n", torch.tensor([2**60]), torch.tensor([2**60 + 1])).failed
    assert not difference("n", torch.tensor([2**60]), torch.tensor([2**60])).failed
    assert difference("b", torch.tensor([True]), torch.tensor([False])).max_abs == 1.0


def test_a_wrong_shape_is_reported() -> None:
    found = difference("y", torch.zeros(2, 3), torch.zeros(3, 2))
    assert found.shape_mismatch == "[3, 2] instead of [2, 3]"
    assert found.failed


def test_complex_numbers_are_pairs() -> None:
    expected = torch.tensor([1 + 2j])
    assert not difference("y", expected, torch.tensor([[1.0, 2.0]])).failed
    assert difference("y", expected, torch.tensor([[1.0, 2.5]])).max_abs == 0.5


def test_an_expected_zero_makes_any_difference_infinite() -> None:
    assert difference("y", torch.zeros(2), torch.zeros(2)).max_rel == 0.0
    assert difference("y", torch.zeros(2), torch.ones(2)).max_rel == math.inf


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    expected = torch.randn(7, 5, generator=generator)
    got = expected + torch.randn(7, 5, generator=generator) * 1e-3
    whole = difference("y", expected, got)
    monkeypatch.setattr(differences, "_CHUNK", 4)
    parts = difference("y", expected, got)
    assert replace(parts, spread=whole.spread) == whole
    assert (
        parts.spread == pytest.approx(whole.spread) == pytest.approx(float((got - expected).norm() / expected.norm()))
    )
    assert magnitude(expected) == (float(expected.abs().max()), pytest.approx(float(expected.norm())))


@given(st.lists(finite, min_size=1, max_size=20), st.floats(0, 10, width=32))
def test_a_shift_is_measured(elements: list[float], shift: float) -> None:
    expected = torch.tensor(elements, dtype=torch.float64)
    found = compare_flat("y", expected, expected + shift, tolerance_for(torch.float64))
    assert found.max_abs == pytest.approx(shift, abs=1e-9)
    assert 0 <= found.beyond <= 1


@given(st.floats(1e-12, 1e12), st.sampled_from(["1e-08", "1e-05", "1e-02", "0"]))
def test_decades_round_up(value: float, floor: str) -> None:
    rounded = float(decade(value, floor))
    assert rounded >= value * (1 - 1e-8)
    assert rounded < value * 10.0001 or decade(value, floor) == floor


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "1e-05"), (1.1e-5, "1e-04"), (0.0, "1e-05"), (1.0, "1e+00"), (math.inf, "inf")]
)
def test_decades_as_text(value: float, text: str) -> None:
    assert decade(value, "1e-05") == text


def test_a_users_tolerance_leaves_integers_exact() -> None:
    assert tolerance_for(torch.int64, rtol=0.1, atol=1.0).rtol == 0
    assert tolerance_for(torch.float32, rtol=0.1).localise == pytest.approx(1e-3)
    assert tolerance_for(torch.float32, rtol=1e-9).localise == tolerance_for(torch.float32).localise


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((2, 16, 64), (32, 64), True),
        ((2, 16, 64), (1, 2, 16, 64), True),
        ((2, 16, 4, 16), (2, 16, 64), True),
        ((2, 1, 16, 16), (1, 16, 32), False),
        ((4, 6), (6, 4), False),
        ((), (1,), True),
    ],
)
def test_shapes_that_joining_axes_relates(one: tuple[int, ...], other: tuple[int, ...], expected: bool) -> None:
    assert mergeable(one, other) is mergeable(other, one) is expected


@pytest.mark.parametrize("chunk", [2, 100])
def test_extremes_are_of_finite_values_that_are_no_masks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "_CHUNK", chunk)
    lowest = torch.finfo(torch.float32).min
    values = torch.tensor([[0.5, math.inf, -0.25], [math.nan, lowest, 2.0]])
    assert extremes(values) == (-0.25, 2.0)
    assert extremes(torch.tensor([lowest, math.nan])) == (0.0, 0.0)
