"""Every number that decides in parity, on both sides; where each is from is said beside it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import onnx_ir as ir
import pytest
import torch

from pytest_htp.parity.differences import difference, magnitude
from pytest_htp.parity.divergence import Noise, _worst, is_off, locate
from pytest_htp.parity.further import _masks, _pad, _resize
from pytest_htp.parity.observe import Observation
from pytest_htp.parity.references import Reference, loose, matches, sample
from pytest_htp.parity.result import Difference, decade
from pytest_htp.parity.tolerance import Precision, tolerance_for

# rtol, atol, localise, spread, match, floor of the table in docs/reference/parity.md
TABLE = {
    torch.float64: (1e-6, 1e-7, 1e-9, 3e-10, 1e-6, "1e-08"),
    torch.float32: (1e-3, 1e-4, 1e-5, 3e-6, 1e-4, "1e-05"),
    torch.float16: (1e-2, 1e-2, 5e-3, 5e-3, 2e-2, "1e-02"),
    torch.bfloat16: (5e-2, 5e-2, 4e-2, 4e-2, 1e-1, "1e-01"),
}
BELOW, ABOVE = 0.95, 1.05


def reference(
    dtype: torch.dtype = torch.float32, precision: Precision | None = None, index: int = 0, *, constant: bool = False
) -> Reference:
    kind = "float" if dtype.is_floating_point else "int"
    tensor = torch.arange(4).to(dtype)
    return Reference(index, tensor, (kind, 4), magnitude(tensor), constant, tolerance_for(dtype, precision=precision))


def off(relative: float, **more: Any) -> Difference:
    return Difference("", relative, relative, **more)


@pytest.mark.parametrize(
    ("dtype", "precision", "rtol", "atol"),
    [*((dtype, None, *row[:2]) for dtype, row in TABLE.items()), (torch.float32, "int8", 0.1, 0.1)],
)
def test_an_element_is_beyond_tolerance(
    dtype: torch.dtype, precision: Precision | None, rtol: float, atol: float
) -> None:
    tolerance = tolerance_for(dtype, precision=precision)
    for expected, limit in (([0.0, 1.0], atol), ([0.0, 8.0], 8 * atol)):
        one = torch.tensor(expected, dtype=dtype)
        for factor, failed in ((BELOW, False), (ABOVE, True)):
            near_zero = torch.tensor([limit * factor, expected[1]], dtype=torch.float64)
            assert difference("", one, near_zero, tolerance).failed is failed
            largest = torch.tensor([0.0, expected[1] + factor * (limit + rtol * expected[1])], dtype=torch.float64)
            assert difference("", one, largest, tolerance).failed is failed


@pytest.mark.parametrize("dtype", TABLE)
def test_a_module_is_off_and_a_value_matches(dtype: torch.dtype) -> None:
    *_, localise, spread, match, floor = TABLE[dtype]
    found = reference(dtype)
    assert not is_off(found, off(BELOW * localise, spread=BELOW * spread))
    assert is_off(found, off(ABOVE * localise))
    assert is_off(found, off(0.0, spread=ABOVE * spread))
    assert matches(found, off(BELOW * match))
    assert not matches(found, off(ABOVE * match))
    assert not matches(found, off(0.0, nonfinite=1))
    assert found.tolerance.floor == floor
    assert decade(float(floor) * BELOW, floor) == decade(float(floor), floor) == floor
    assert float(decade(float(floor) * ABOVE, floor)) == pytest.approx(10 * float(floor))


def test_integers_are_exact() -> None:
    assert not is_off(reference(torch.int64), off(0.0))
    assert is_off(reference(torch.int64), off(1e-12 * ABOVE))
    assert matches(reference(torch.int64), off(0.0))
    assert not matches(reference(torch.int64), off(1e-12))


@pytest.mark.parametrize(
    ("precision", "localise", "match", "floor"),
    [("float16", 5e-3, 2e-2, "1e-02"), ("bfloat16", 4e-2, 1e-1, "1e-01"), ("int8", 1e-1, 1e-1, "1e-01")],
)
def test_a_stage_is_judged_by_its_coarser_type(precision: Precision, localise: float, match: float, floor: str) -> None:
    found = reference(precision=precision)
    assert not is_off(found, off(BELOW * localise, spread=BELOW * localise))
    assert is_off(found, off(ABOVE * localise))
    assert is_off(found, off(0.0, spread=ABOVE * localise))
    assert found.tolerance.floor == floor
    assert matches(found, off(BELOW * match))
    assert not matches(found, off(ABOVE * match))


def test_what_a_user_s_tolerance_says_of_modules() -> None:
    """A hundredth of it, where that is more than the type's own."""
    for rtol, localise in ((1e-2, 1e-4), (9e-4, 1e-5), (1.1e-3, 1.1e-5)):
        tolerance = tolerance_for(torch.float32, rtol=rtol)
        assert tolerance.localise == pytest.approx(localise)
        assert tolerance.spread == pytest.approx(0.3 * localise)


def test_an_error_stands_out_ten_times_from_all_before() -> None:
    noise = Noise(1e-4, 1e-5)
    assert not is_off(reference(), off(1e-3 * BELOW, spread=1e-4 * BELOW), noise)
    assert is_off(reference(), off(1e-3 * ABOVE), noise)
    assert is_off(reference(), off(0.0, spread=1e-4 * ABOVE), noise)
    assert is_off(reference(), off(1e-4, beyond=0.1), noise)


VALUES = [ir.Value(name=f"v{place}") for place in range(3)]


def references(*items: Reference, **more: Any) -> Any:
    known = {"items": items, "given_to_makers": lambda index: set(), "innermost_makers": lambda index: set()}
    return SimpleNamespace(**{**known, **more})


def equal(hits: list[dict[int, float]], *items: Reference) -> dict[int, set[str | None]]:
    """Value by value: reference → difference. Gives reference → names of the values that equal it."""
    seen = Observation(references(*items))
    for value, row in zip(VALUES, hits, strict=False):
        seen.hits[value] = {index: off(found) for index, found in row.items()}
    return {index: {value.name for value in found} for index, found in seen.equal_values().items()}


def test_of_several_values_those_nearly_as_close_as_the_closest_count() -> None:
    close = 2e-5
    assert equal([{0: close}, {0: 4 * close * BELOW}], reference()) == {0: {"v0", "v1"}}
    assert equal([{0: close}, {0: 4 * close * ABOVE}], reference()) == {0: {"v0"}}
    assert equal([{0: close, 1: 4 * close * BELOW}], reference(), reference(index=1)) == {0: {"v0"}, 1: {"v0"}}
    assert equal([{0: close, 1: 4 * close * ABOVE}], reference(), reference(index=1)) == {0: {"v0"}}


@pytest.mark.parametrize(("other", "possible"), [(4 * BELOW, {0, 1}), (4 * ABOVE, {0})])
def test_a_value_may_be_each_tensor_that_it_is_nearly_as_close_to_as_to_the_closest(
    other: float, possible: set[int]
) -> None:
    close = 2e-5
    recorded = references(reference(), reference(index=1))
    seen = Observation(recorded, hits={VALUES[0]: {0: off(close), 1: off(other * close)}})
    assert seen.may_be() == {VALUES[0]: possible}


def test_of_values_within_noise_none_is_closer() -> None:
    noise = 1e-6  # a tenth of float32's localise
    assert equal([{0: 0.0}, {0: noise * BELOW}], reference()) == {0: {"v0", "v1"}}
    assert equal([{0: 0.0}, {0: noise * ABOVE}], reference()) == {0: {"v0"}}


def located(relative: float, *, elsewhere: float | None = None) -> set[int]:
    """References found where the value at the place of the first is so far off; a second one may be ``elsewhere``."""
    recorded = references(reference(), reference(index=1))
    seen = Observation(recorded, expected={VALUES[0]: {0: off(relative)}})
    anchors = {}
    if elsewhere is not None:
        seen.expected[VALUES[1]] = {1: off(elsewhere)}
        anchors = {VALUES[1]: 1}
    flow = SimpleNamespace(downstream=lambda starts, stop: {VALUES[1]}, readers=lambda value: [], position={})
    placement = cast(Any, SimpleNamespace(facts=[]))
    return set(locate(seen, cast(Any, flow), anchors, placement))


def test_a_value_at_the_place_is_the_reference_gone_wrong_up_to_half_its_magnitude() -> None:
    assert located(0.5 * BELOW) == {0}
    assert located(0.5 * ABOVE) == set()


def test_one_further_off_is_believed_where_all_that_follows_is_clearly_off() -> None:
    clearly = 10 * 1e-5  # ten times float32's localise
    assert located(2.0, elsewhere=clearly * BELOW) == {1}
    assert located(2.0, elsewhere=clearly * ABOVE) == {0, 1}


@pytest.mark.parametrize(("also", "expected"), [({}, {0}), ({1: 0.0}, {1})])
def test_without_a_place_what_looks_like_a_reference_is_it_unless_it_equals_another(
    also: dict[int, float], expected: set[int]
) -> None:
    recorded = references(reference(), reference(index=1))
    seen = Observation(recorded, hits={VALUES[0]: {index: off(found) for index, found in {0: 5e-3, **also}.items()}})
    flow = cast(Any, SimpleNamespace(position={}))
    placement = cast(Any, SimpleNamespace(facts=[]))
    assert set(locate(seen, flow, {}, placement)) == expected


def test_the_worst_is_measured_in_thresholds_of_its_type() -> None:
    """Those of an integer are 1e-12."""
    items = [reference(), reference(torch.int64, index=1)]

    def worst(*relative: float) -> int:
        places: Any = {place: SimpleNamespace(difference=off(each)) for place, each in enumerate(relative)}
        found = _worst(items, places)
        assert found is not None
        return found[0].index

    assert worst(1e-3, 1e-10 * ABOVE) == 1
    assert worst(1e-3, 1e-10 * BELOW) == 0


@pytest.mark.parametrize(
    ("dtype", "precision", "expected"),
    [
        (torch.float32, None, 1e-2),
        (torch.float64, None, 1e-2),
        (torch.float16, None, 4e-2),
        (torch.float32, "float16", 4e-2),
        (torch.bfloat16, None, 2e-1),
        (torch.float32, "int8", 2e-1),
        (torch.int64, None, 0.0),
    ],
)
def test_a_sample_may_be_off_by_a_percent_and_by_twice_a_match(
    dtype: torch.dtype, precision: Precision | None, expected: float
) -> None:
    assert loose(reference(dtype, precision)) == pytest.approx(expected)


def test_samples_are_64_elements_from_end_to_end() -> None:
    assert sample(torch.arange(64)).tolist() == list(range(64))
    assert sample(torch.arange(65)).numel() == 64
    assert sample(torch.arange(10_000))[[0, -1]].tolist() == [0, 9_999]
    assert sample(torch.tensor([math.inf, -math.inf, 0.9e30, 1.1e30, math.nan], dtype=torch.float64)).tolist() == [
        1e30, -1e30, 0.9e30, 1e30, 0]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), [(1e-5 * (1 + 1e-10), "1e-05"), (1e-5 * (1 + 1e-8), "1e-04")])
def test_a_decade_is_rounded_up_but_for_the_last_bits(value: float, text: str) -> None:
    assert decade(value, "1e-08") == text


@pytest.mark.parametrize(("size", "other"), [(0, 0), (1, 2), (3, 4), (4, 3), (5, 4), (8, 6), (16, 12)])
def test_another_size(size: int, other: int) -> None:
    repeated = [size - 1] if other > size else []
    assert _resize(torch.arange(size), [0]).tolist() == [*range(min(size, other)), *repeated]


@pytest.mark.parametrize(("length", "zeros"), [(4, 1), (7, 1), (8, 2), (16, 4)])
def test_padding_is_a_quarter_of_the_last_row(length: int, zeros: int) -> None:
    padded = _pad(torch.ones(2, length))
    assert padded[0].all()
    assert padded[1].tolist() == [1.0] * (length - zeros) + [0.0] * zeros


def test_masks_of_four_and_more_ones_are_padded() -> None:
    named = {
        "attention_mask": torch.ones(2, 4, dtype=torch.int64),
        "decoder_attention_mask": torch.ones(1, 5, dtype=torch.bool),
        "short_attention_mask": torch.ones(2, 3, dtype=torch.int64),
        "float_attention_mask": torch.ones(2, 4),
        "deep_attention_mask": torch.ones(2, 1, 4, 4, dtype=torch.int64),
        "zero_attention_mask": torch.zeros(2, 4, dtype=torch.int64),
        "x": torch.ones(2, 4, dtype=torch.int64),
    }
    masks = _masks(cast(Any, SimpleNamespace(named=named)))
    assert masks == [id(named["attention_mask"]), id(named["decoder_attention_mask"])]
