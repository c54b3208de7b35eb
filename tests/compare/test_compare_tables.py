"""What code puts into a buffer, and how many operators run quantized, on records."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.rules.quantization import _Computed, _less
from tests.compare._records import Record, add_ops, changed, edited


def holding(base: Record | None = None, **tables: str) -> Record:
    """``bert()`` with buffers of the pooler, by name."""
    rows = [{"name": f"pooler.{name}", "holds": holds} for name, holds in tables.items()]
    return edited(lambda record: record["weights"].update(tables=rows), base)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"f": "FLOAT[4] ~1/1/1"}, {"f": "FLOAT[4] ~2/1/1"}, ["buffer f: FLOAT[4] ~1/1/1 -> FLOAT[4] ~2/1/1"]),
        ({"f": "INT64 [1]"}, {"f": "INT64 [2]"}, ["buffer f: INT64 [1] -> INT64 [2]"]),
        ({"f": "INT64 1"}, {"f": "INT64 1"}, []),
        ({"f": "FLOAT[4] ~1/1/1"}, {"f": "FLOAT16[4] ~2/1/1"}, []),  # the type is told where values are computed
        ({"f": "FLOAT 1"}, {"f": "INT64 2"}, []),
        ({"f": "FLOAT 1", "g": "FLOAT 1"}, {"g": "FLOAT 2"}, ["buffer g: FLOAT 1 -> FLOAT 2"]),
    ],
)
def test_buffers_that_hold_something_else(before: dict[str, str], after: dict[str, str], found: list[str]) -> None:
    findings = compare_exports(holding(**before), holding(**after)).at_or_above("drift")
    assert [finding.message for finding in findings] == found
    assert all((finding.code, finding.module) == ("ops.changed", "pooler") for finding in findings)


def test_a_buffer_of_a_module_that_is_told_of_is_not_told_again() -> None:
    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {"Sin": 1})

    after = changed(change)
    (finding,) = compare_exports(holding(f="FLOAT 1"), holding(after, f="FLOAT 2")).at_or_above("drift")
    assert "buffer" not in finding.message


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        ((2, 0, 0), (1, 0, 1), True),
        ((0, 2, 0), (0, 1, 1), True),
        ((2, 1, 0), (1, 2, 1), False),  # as many quantized, a new one in float
        ((1, 2, 0), (2, 0, 1), True),
        ((2, 0, 0), (1, 1, 0), True),
        ((2, 0, 0), (1, 0, 0), False),
        ((1, 1, 0), (1, 2, 0), False),
    ],
)
def test_less_is_quantized(before: tuple[int, int, int], after: tuple[int, int, int], less: bool) -> None:
    assert _less(_Computed(*before), _Computed(*after)) is less
