"""Every number that decides what is carried, on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from htp_graphs import graph, weight
from onnx import helper

from pytest_htp.carry import carry
from pytest_htp.carry.equal_weights import WeightIndex, equal_weights
from pytest_htp.carry.values import Samples, equal_values
from pytest_htp.tagging.read import read_tagging

Array = npt.NDArray[np.float64]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def correlated(one: Array, correlation: float) -> Array:
    """An array with exactly that correlation to another one, row by row."""
    a = one - one.mean(-1, keepdims=True)
    b = numbers(*one.shape, seed=1)
    b -= b.mean(-1, keepdims=True)
    b -= a * (a * b).sum(-1, keepdims=True) / (a * a).sum(-1, keepdims=True)
    a, b = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (a, b))
    found: Array = correlation * a + np.sqrt(1 - correlation**2) * b
    return found


def left_out(size: int, count: int) -> int:
    """The one of ``size`` places that is not among ``count`` evenly spread ones."""
    (place,) = set(range(size)) - set(np.linspace(0, size - 1, count).round().astype(int).tolist())
    return place


def test_weights_of_eight_elements_and_more_are_told_apart() -> None:
    assert equal_weights(numbers(7), numbers(7)) is None
    assert equal_weights(numbers(8), numbers(8)) is True
    assert equal_weights(numbers(8), numbers(8, seed=1)) is False
    assert equal_weights(numbers(8), numbers(9)) is False


@pytest.mark.parametrize(("correlation", "same"), [(0.989, False), (0.991, True), (-0.991, True)])
def test_a_copy_in_coarser_steps_correlates(correlation: float, same: bool) -> None:
    one = numbers(64)
    assert equal_weights(one, correlated(one, correlation)) is same
    channels = numbers(4, 64)
    scaled = correlated(channels, correlation) * np.array([[1.0], [-30.0], [900.0], [-5.0]])
    assert equal_weights(channels, scaled) is same


@pytest.mark.parametrize(("vary", "same"), [(3, False), (4, True)])
def test_half_of_the_channels_must_vary(vary: int, same: bool) -> None:
    channels = numbers(8, 64) * (np.arange(8) < vary)[:, np.newaxis]
    assert equal_weights(channels, channels * np.array([1, -30, 900, -5, 7, 70, -700, 2])[:, np.newaxis]) is same


@pytest.mark.parametrize(("count", "found"), [(2, True), (3, True), (4, True), (5, False)])
def test_two_to_four_weights_are_found_joined(count: int, found: bool) -> None:
    weights = [ir.Value(name=f"w{place}") for place in range(5)]
    for place, value in enumerate(weights):
        value.const_value = ir.tensor(numbers(8, 12, seed=place).astype(np.float32))
    arrays = [value.const_value.numpy() for value in weights[:count] if value.const_value is not None]
    for axis in (0, 1):
        assert WeightIndex(weights).find(np.concatenate(arrays, axis)) == (tuple(weights[:count]) if found else ())


@pytest.mark.parametrize(("size", "same"), [(256, False), (257, True)])
def test_256_elements_are_looked_at(size: int, same: bool) -> None:
    one = numbers(size)
    other = one.copy()
    other[left_out(size, size - 1)] = 1e3
    assert equal_weights(one, other) is same


def by_channel(channels: int, size: int) -> tuple[Array, Array]:
    """Weights, and a copy whose channels have scales of their own."""
    one = numbers(channels, size)
    return one, one * np.array([[1.0], [-30.0]] * channels)[:channels]


@pytest.mark.parametrize(("channels", "same"), [(16, False), (17, True)])
def test_sixteen_channels_are_looked_at(channels: int, same: bool) -> None:
    one, other = by_channel(channels, 8)
    other[left_out(channels, channels - 1)] = numbers(8, seed=5)
    assert equal_weights(one, other) is same


@pytest.mark.parametrize(("size", "same"), [(64, False), (65, True)])
def test_64_elements_of_each_channel_are_looked_at(size: int, same: bool) -> None:
    one, other = by_channel(4, size)
    other[:, left_out(size, size - 1)] = 1e4
    assert equal_weights(one, other) is same


VALUE = numbers(64)
SCALE = float(np.abs(VALUE).max())


def moved(by: float, value: Array = VALUE) -> Array:
    """With one element off by so much of the scale; not the largest, so that this stays the scale."""
    other = value.copy()
    other[int(np.abs(value).argmin())] += by * SCALE
    return other


def found(candidates: list[Array], value: Array = VALUE) -> str | None:
    before = Samples((f"c{place}", each) for place, each in enumerate(candidates))
    return equal_values(before, Samples([("v", value)])).get("v")


def test_values_of_64_elements_that_vary_are_compared() -> None:
    assert found([VALUE]) == "c0"
    assert found([VALUE[:63]], VALUE[:63]) is None
    for variation, name in ((0.9e-3, None), (1.1e-3, "c0")):
        nearly_constant = np.ones(64)
        nearly_constant[3] -= variation
        assert found([nearly_constant], nearly_constant) == name


def test_a_value_equals_one_within_a_thousandth() -> None:
    assert found([moved(0.95e-3)]) == "c0"
    assert found([moved(1.05e-3)]) is None


def test_every_other_one_must_be_four_times_farther_off() -> None:
    assert found([moved(2e-4), moved(0.95 * 8e-4)]) is None
    assert found([moved(2e-4), moved(1.05 * 8e-4)]) == "c0"


def test_of_values_within_a_tenth_of_the_tolerance_none_is_nearer() -> None:
    assert found([VALUE, moved(0.95e-4)]) is None
    assert found([VALUE, moved(1.05e-4)]) == "c0"


def between(count: int) -> tuple[str | None, str | None]:
    """Module and rule of one operator that makes what ``count`` nodes of ``act`` made."""
    names = ["product", *(f"v{place}" for place in range(count - 1)), "active"]
    ends: tuple[Any, Any] = (
        helper.make_node("MatMul", ["x", "first.weight"], ["product"], "one"),
        helper.make_node("MatMul", ["active", "last.weight"], ["y"], "two"),
    )
    inner = [helper.make_node("Neg", [names[place]], [names[place + 1]], f"neg{place}") for place in range(count)]
    paths = {"one": "first", "two": "last"} | {f"neg{place}": "act" for place in range(count)}
    weights = [weight("first.weight", 1), weight("last.weight", 3)]
    before = read_tagging(graph([ends[0], *inner, ends[1]], weights, paths))
    for end in ends:
        del end.metadata_props[:]
    after = carry(before, graph([ends[0], helper.make_node("Elu", ["product"], ["active"], "elu"), ends[1]], weights))
    (elu,) = (facts for facts in after.nodes if facts.key == "elu")
    return elu.path, elu.rule


def test_one_operator_stands_for_256_nodes_at_most() -> None:
    assert between(256) == ("act", "region")
    assert between(257) == ("", "between")


def chain(names: list[str], seed: int) -> ir.Model:
    values = ["x", *(f"v{place}" for place in range(len(names) - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [values[place], name], [values[place + 1]], f"{name}.{seed}")
        for place, name in enumerate(names)
    ]
    known = [weight("first.weight", 1)] if "first.weight" in names else []
    others = [weight(name, seed + place) for place, name in enumerate(names) if name != "first.weight"]
    paths = {f"first.weight.{seed}": "first"} if seed == 100 else {}
    return graph(nodes, [*known, *others], paths)


@pytest.mark.parametrize(("others", "related"), [(3, True), (4, False)])
def test_a_quarter_of_the_weights_must_be_known(others: int, related: bool) -> None:
    before = read_tagging(chain(["first.weight", "second.weight"], 100))
    after = carry(before, chain(["first.weight", *(f"o{place}" for place in range(others))], 200))
    causes = {facts.cause for facts in after.nodes}
    assert ("unrelated: it has other weights than the tagged graph" in causes) is not related


@pytest.mark.parametrize(("others", "related"), [(3, True), (4, False)])
def test_without_weights_a_quarter_of_the_nodes_must_be_known(others: int, related: bool) -> None:
    def of(operators: list[str]) -> ir.Model:
        values = ["x", *(f"v{place}" for place in range(len(operators) - 1)), "y"]
        nodes = [
            helper.make_node(operator, [values[place]], [values[place + 1]], f"n{place}")
            for place, operator in enumerate(operators)
        ]
        return graph(nodes, [], {"n0": "act"})

    after = carry(read_tagging(of(["Relu", *["Neg"] * others])), of(["Relu", *["Abs"] * others]))
    causes = {facts.cause for facts in after.nodes}
    assert ("unrelated: it has neither weights nor nodes of the tagged graph" in causes) is not related


def test_what_only_converts_does_not_make_a_graph_another() -> None:
    before = read_tagging(graph([helper.make_node("Relu", ["x"], ["y"], "n0")], [], {"n0": "act"}))
    values = ["x", "a", "b", "c", "d", "y"]
    converted = [("Cast", {"to": kind}) for kind in (1, 10, 10, 1)]
    nodes = [
        helper.make_node(operator, [values[place]], [values[place + 1]], f"n{place}", **more)
        for place, (operator, more) in enumerate([("Relu", {}), *converted])
    ]
    assert [facts.path for facts in carry(before, graph(nodes, [])).nodes].count(None) == 0
