"""The number itself, against the formula in numpy's float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pytest_htp.quality import EXACT, Quality, Undefined, sqnr
from pytest_htp.quality.result import Measured, MeasuredOutput
from pytest_htp.quality.sqnr import stored, values_of_sample

X = torch.randn(64, 33, generator=torch.Generator().manual_seed(1))
NOISE = torch.randn(64, 33, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_the_formula(size: float, dtype: torch.dtype) -> None:
    x, y = X, (X + size * NOISE).to(dtype)
    a, b = x.numpy().astype(np.float64), y.double().numpy()
    expected = 10 * math.log10((a**2).sum() / ((a - b) ** 2).sum())
    assert sqnr(x, y) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e25])
@pytest.mark.parametrize("count", [2**16, 2**16 + 1, 2**21, 2**21 + 1])
def test_the_formula_of_any_size(size: float, count: int) -> None:
    """Sums are float32's, in parts, unless that overflows or vanishes."""
    x = size * torch.randn(count, generator=torch.Generator().manual_seed(3))
    y = x + 0.01 * size * torch.randn(count, generator=torch.Generator().manual_seed(4))
    a, b = x.double(), y.double()
    expected = 10 * math.log10(float((a**2).sum() / ((a - b) ** 2).sum()))
    assert sqnr(x, y) == pytest.approx(expected, abs=1e-5)


def test_twice_the_error_is_a_bit_less() -> None:
    one, two = sqnr(X, X + 0.01 * NOISE), sqnr(X, X + 0.02 * NOISE)
    assert isinstance(one, float)
    assert isinstance(two, float)
    assert one - two == pytest.approx(20 * math.log10(2), abs=1e-4)


def test_identical_tensors_are_exact() -> None:
    assert sqnr(X, X.clone()) == EXACT == 150.0


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (torch.zeros(3), torch.ones(3), "all zero in PyTorch"),
        (torch.zeros(3), torch.zeros(3), "all zero in PyTorch"),
        (torch.zeros(0), torch.zeros(0), "all zero in PyTorch"),
        (torch.ones(3), torch.tensor([1.0, math.nan, 1.0]), "not finite"),
        (torch.ones(3), torch.tensor([1.0, math.inf, 1.0]), "not finite"),
        (torch.tensor([math.nan, 1.0]), torch.ones(2), "not finite in PyTorch"),
        (torch.tensor([math.inf, -math.inf]), torch.tensor([math.inf, -math.inf]), "not finite in PyTorch"),
    ],
)
def test_what_has_no_number(x: torch.Tensor, y: torch.Tensor, reason: str) -> None:
    assert sqnr(x, y) == Undefined(reason)


def test_masks_are_no_signal() -> None:
    lowest = torch.full((4,), torch.finfo(torch.float32).min)
    x, y = torch.cat([X.flatten(), lowest]), torch.cat([(X + 0.1 * NOISE).flatten(), lowest])
    assert sqnr(x, y) == pytest.approx(sqnr(X, X + 0.1 * NOISE))


@pytest.mark.parametrize(
    ("number", "held"), [(31.9, 30), (30.0, 30), (29.99, 27), (-1.0, -3), (98.9, 96), (131.0, 99), (EXACT, 99)]
)
def test_baselines_hold_steps_of_three(number: float, held: int) -> None:
    assert stored(number) == held


@pytest.mark.parametrize(("shape", "values"), [((2, 5), 5), ((1, 5), 5), ((5,), 5), ((2, 3, 4), 12), ((), 1)])
def test_a_batch_counts_as_one_sample(shape: tuple[int, ...], values: int) -> None:
    assert values_of_sample(torch.ones(shape)) == values


def test_equal_layers_share_a_row() -> None:
    quality = Quality(
        measured=True,
        details={f"layer.{k}": Measured(31.2 + k, 40.0) for k in range(3)} | {"head": Measured(12.0, values=2)},
        undefined={"mask": "all zero in PyTorch"},
        output_details={
            "logits": MeasuredOutput(20.5, 2, (-0.00123456, 0.12345678)),
            "hidden": MeasuredOutput(20.5, 152, (-3.0, 1.0)),
        },
    )
    row = quality.to_row()
    assert [(r.path, r.sqnr, r.entering, r.reason) for r in row.modules] == [
        ("head", 12, None, ""),
        ("layer.2", 33, 39, ""),
        ("layer.{0..1}", 30, 39, ""),
        ("mask", None, None, "all zero in PyTorch"),
    ]
    assert [r.values for r in row.modules] == [2, None, None, None]
    assert [(r.name, r.sqnr, r.values, r.extremes) for r in row.outputs] == [
        ("logits", 18, 2, [-0.0012, 0.1235]), ("hidden", 18, None, [-3.0, 1.0])
    ]  # fmt: skip
    assert quality.outputs == {"logits": 20.5, "hidden": 20.5}
    many = Quality(measured=True, output_details={"hidden": MeasuredOutput(20.5, 152, (-3.0, 1.0))}).to_row()
    assert [(r.values, r.extremes) for r in many.outputs] == [(None, None)]
    assert Quality.not_measured("parity was switched off").to_row().reason == "parity was switched off"
