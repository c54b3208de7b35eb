"""How a constant was computed of weights, in words that depend on neither values nor names of the exporter."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pytest_htp.capture.parameters import is_mask
from pytest_htp.capture.recipes import Recipes

# torch's own, of decomposition.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


class Computes(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.other = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.function(self.one, self.other)


def recipe(function: Callable[[Tensor, Tensor], Tensor], word: Callable[[str], str] = str) -> str:
    program = torch.export.export(Computes(function), (torch.ones(2, 4),)).run_decompositions()
    calls = [node.name for node in program.graph.nodes if node.op == "call_function"]
    return Recipes(program).of(calls[:-1], word)  # the last one reads the input


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, b: a * 0.5, "mul(0.5, one)"),
        (lambda a, b: 0.5 * a, "mul(0.5, one)"),
        (lambda a, b: a - b, "sub(one, other)"),
        (lambda a, b: b - a, "sub(other, one)"),
        (lambda a, b: a + b, "add(one, other)"),
        (lambda a, b: b + a, "add(one, other)"),
        (lambda a, b: (a / 3.0).sum(1, keepdim=True) * b, "mul(other, sum(div(one, 3), [1], True))"),
        (lambda a, b: a * torch.tensor([1.0, 2.0, 0.5, 0.25]), "mul([1,2,0.5,0.25], one)"),
        (lambda a, b: a, ""),
        (lambda a, b: a.clone(), ""),
        (lambda a, b: (a - b).clone(), "sub(one, other)"),
    ],
)
def test_a_recipe_says_operators_numbers_and_operands(function: Callable[[Tensor, Tensor], Tensor], words: str) -> None:
    assert recipe(function) == words


def test_parameters_have_the_names_of_their_reader() -> None:
    assert recipe(lambda a, b: a - b, lambda name: f"^{name}") == "sub(^one, ^other)"


def deep(number: float) -> Callable[[Tensor, Tensor], Tensor]:
    def function(a: Tensor, b: Tensor) -> Tensor:
        a = a * number
        for _ in range(40):  # written in full, 2 to the 40th
            a = (a - b) @ a
        return a

    return function


def test_a_long_recipe_names_its_operators_and_is_told_from_another() -> None:
    one, again, other = recipe(deep(0.5)), recipe(deep(0.5)), recipe(deep(0.25))
    assert one == again != other
    assert one.startswith("mm(sub(mm of mm mul sub ")
    assert len(one) < 120


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        (torch.full((6, 6), -math.inf).triu(1), True),
        (torch.full((1, 1, 6, 9), -1e9).triu(-2), True),
        (torch.ones(6, 6).tril(), True),
        ((torch.arange(6.0)[:, None] - torch.arange(6.0)).abs(), True),
        (torch.eye(6), False),
        (torch.zeros(6, 6), False),
        (torch.ones(6, 6) * 3, False),
        (torch.linspace(-1, 1, 36).reshape(6, 6), False),
        (torch.linspace(-1, 1, 36).reshape(6, 6).triu(), False),
        (torch.ones(6), False),
        (torch.ones(2, 2).tril(), False),
        (torch.zeros(0, 3), False),
        (torch.ones(6, 6, dtype=torch.int8).tril(), False),
    ],
)
def test_a_mask_depends_on_distances_alone(buffer: Tensor, expected: bool) -> None:
    assert is_mask(buffer) is expected
