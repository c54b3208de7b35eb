"""Every number that decides which value a module's result is, on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import onnx_ir as ir
import pytest
import torch

from pytest_htp.parity.reasons import UNLIKE
from pytest_htp.quality.absorbed import _first_kept
from pytest_htp.quality.meter import Meter
from pytest_htp.quality.modules import ModuleNumbers
from pytest_htp.quality.sqnr import EXACT, sqnr

A, B, C = (ir.Value(name=name) for name in "abc")
Calls = Sequence[tuple[str, int, int]]


def measured(
    calls: Calls,
    numbers: Mapping[int, Mapping[ir.Value, float]],
    *,
    named: Mapping[int, ir.Value] | None = None,
    expected: Sequence[int] = (),
    nodes: Sequence[tuple[str, ir.Value]] = (),
) -> dict[str, float | str]:
    """Path → dB, or why there is none.

    Args:
        calls: ``(module path, reference it took, reference it returned)``, in order.
        numbers: what the meter has: reference → value → dB.
        named: as the meter has it, so is ``expected``.
        nodes: ``(module path, value that it makes)``.
    """

    def side(index: int) -> Any:
        size = SimpleNamespace(largest=1.0)
        more = {"scale": 1.0, "constant": False, "size": size, "tensor": torch.ones(4)}
        reference = SimpleNamespace(index=index, group=("float", 4), **more)
        return SimpleNamespace(references=[reference], ids={index})

    borders = [SimpleNamespace(inputs=side(took), outputs=side(gave)) for _, took, gave in calls]
    meter = Meter(
        cast(Any, SimpleNamespace(borders=borders)), dict(named or {}), frozenset(expected), {}, cast(Any, numbers)
    )
    hierarchy = SimpleNamespace(calls=[SimpleNamespace(order=n, path=path) for n, (path, _, _) in enumerate(calls)])
    facts = [SimpleNamespace(origins=(path,), node=SimpleNamespace(outputs=[value])) for path, value in nodes]
    found, undefined = ModuleNumbers(cast(Any, hierarchy), cast(Any, SimpleNamespace(nodes=facts)), meter).all()
    return {path: each.sqnr for path, each in found.items()} | undefined


@pytest.mark.parametrize(("db", "found"), [(5.9, UNLIKE), (6.1, 6.1)])
def test_a_value_that_was_none_of_the_export_must_be_like_it(db: float, found: float | str) -> None:
    assert measured([("m", 0, 1)], {1: {A: db}}) == {"m": found}
    assert measured([("m", 0, 1)], {1: {A: db}}, expected=[1]) == {"m": db}


@pytest.mark.parametrize(("db", "found"), [(5.9, 20.0), (6.1, 6.1)])
def test_a_result_that_is_unlike_counts_as_the_one_further_along(db: float, found: float) -> None:
    calls = [("conv", 0, 1), ("act", 1, 2)]
    assert measured(calls, {1: {A: db}, 2: {B: 20.0}}, expected=[1, 2])["conv"] == found
    assert measured(calls, {1: {A: db}, 2: {B: 20.0}}, expected=[1, 2], named={1: A})["conv"] == db


@pytest.mark.parametrize(("db", "found"), [(5.9, UNLIKE), (6.1, 6.1)])
def test_further_along_it_must_be_like_it_or_have_its_name(db: float, found: float | str) -> None:
    calls = [("conv", 0, 1), ("act", 1, 2)]
    assert measured(calls, {2: {B: db}}, expected=[1, 2])["conv"] == found
    assert measured(calls, {2: {B: db}}, expected=[1, 2], named={2: B})["conv"] == db


@pytest.mark.parametrize(("modules", "found"), [(5, 20.0), (6, UNLIKE)])
def test_one_operator_takes_in_five_further_modules(modules: int, found: float | str) -> None:
    calls = [(f"m{place}", place, place + 1) for place in range(modules + 1)]
    assert measured(calls, {modules + 1: {B: 20.0}}, expected=range(modules + 2))["m0"] == found


@pytest.mark.parametrize(("closer", "found"), [(32.9, 30.0), (33.1, 25.0)])
def test_a_value_clearly_closer_to_another_result_is_that_one(closer: float, found: float) -> None:
    numbers = {1: {A: 30.0, B: 25.0}, 2: {A: closer}}
    assert measured([("m", 0, 1), ("n", 1, 2)], numbers, expected=[1, 2])["m"] == found


@pytest.mark.parametrize(("db", "found"), [(9.9, UNLIKE), (10.1, 10.1)])
def test_what_leaves_the_absorbing_operator_must_be_some_result(db: float, found: float | str) -> None:
    calls = [("m", 0, 1), ("n", 5, 2)]
    assert measured(calls, {2: {C: db}}, expected=[1, 2], nodes=[("m", C)])["m"] == found


@pytest.mark.parametrize(("size", "db"), [(0.9e30, EXACT), (1.1e30, 0.0)])
def test_masks_begin_at_1e30(size: float, db: float) -> None:
    x, y = (torch.tensor([each, size], dtype=torch.float64) for each in (1.0, 2.0))
    assert sqnr(x, y) == pytest.approx(db)


@pytest.mark.parametrize(("nodes", "found"), [(16, "v16"), (17, None)])
def test_one_operator_takes_in_sixteen_nodes(nodes: int, found: str | None) -> None:
    start = value = ir.Value(name="v0")
    for number in range(1, nodes + 1):
        (value,) = ir.node("Neg", [value]).outputs
        value.name = f"v{number}"
    kept = _first_kept(start, {f"v{nodes}"})
    assert (kept and kept.name) == found
