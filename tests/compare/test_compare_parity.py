"""parity.worse: more than two decades, down to what a record can hold; noise never."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compare._records import Record, codes, edited


def measured(max_abs: str | None, max_rel: str | None = None, dtype: str = "FLOAT") -> Record:
    def edit(record: Record) -> None:
        record["outputs"][0]["dtype"] = dtype
        values: dict[str, Any] = {"max_abs": max_abs, "max_rel": max_rel or max_abs}
        record["parity"]["outputs"][0] |= values

    return edited(edit)


@pytest.mark.parametrize(
    ("before", "after", "dtype", "worse"),
    [
        ("1e-06", "1e-04", "FLOAT", False),  # two decades are not more than two
        ("1e-06", "1e-03", "FLOAT", True),
        ("1e-08", "1e-05", "FLOAT", True),
        ("1e-12", "1e-05", "FLOAT", True),
        ("1e-09", "1e-06", "DOUBLE", True),
        ("1e-08", "1e-06", "DOUBLE", False),
        ("1e-06", "inf", "FLOAT", True),
        ("inf", "inf", "FLOAT", False),
        ("inf", "1e-06", "FLOAT", False),
        ("1e-03", "1e-06", "FLOAT", False),
        (None, "1e-01", "FLOAT", False),
        # from no difference at all: up to the floor that a record writes for any noise, it says nothing
        ("0", "1e-05", "FLOAT", False),
        ("0", "1e-04", "FLOAT", True),
        ("0", "1e-08", "DOUBLE", False),
        ("0", "1e-07", "DOUBLE", True),
        ("0", "1e-02", "FLOAT16", False),
        ("0", "1e-01", "FLOAT16", True),
        ("0", "1e-01", "BFLOAT16", False),
        ("0", "1e+00", "BFLOAT16", True),
        ("0", "1e+00", "INT64", True),
        ("0", "0", "INT64", False),
    ],
)
def test_worse_is_more_than_two_decades(before: str | None, after: str, dtype: str, worse: bool) -> None:
    expected = ["parity.worse"] if worse else []
    assert codes(measured(before, dtype=dtype), measured(after, dtype=dtype)) == expected


def test_another_element_type_brings_its_own_floor() -> None:
    single, half = measured("1e-05"), measured("1e-02", dtype="FLOAT16")
    assert codes(single, half) == ["io.dtype"]
    assert codes(measured("1e-08", dtype="DOUBLE"), single) == ["io.dtype"]
    assert codes(single, measured("1e+01", dtype="FLOAT16")) == ["io.dtype", "parity.worse"]


@pytest.mark.parametrize(
    ("section", "found"), [("inputs", ["io.reordered", "parity.failed"]), ("outputs", ["io.reordered"])]
)
def test_exchanged_outputs_are_compared_with_others_and_exchanged_inputs_are_not(
    section: str, found: list[str]
) -> None:
    def edit(record: Record) -> None:
        record[section].reverse()
        record["parity"].update(failed=["last_hidden_state"], first_divergence="")

    assert codes(edited(lambda record: None), edited(edit)) == found


def test_relative_differences_alone_count_for_nothing() -> None:
    assert codes(measured("1e-06", "1e-05"), measured("1e-06", "1e-01")) == []
    assert codes(measured("1e-06", "1e-05"), measured("1e-05", "1e-01")) == ["parity.worse"]


def test_leaving_the_noise_by_a_decade_is_not_worse_however_large_the_tensor() -> None:
    noise = measured("1e-05")  # a record writes the floor for both
    assert codes(noise, measured("1e-01", "1e-04")) == []
    assert codes(noise, measured("1e-01", "1e-03")) == []
    assert codes(noise, measured("1e-01", "1e-02")) == ["parity.worse"]
