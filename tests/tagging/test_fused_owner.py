"""Of several modules that an operation was fused from, the one that owns its largest weight is its module."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx_ir as ir
import pytest

from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.passes.fused import FusedOriginsPass

ORIGINS = ("conv", "norm")


def owner(*weights: tuple[str, int]) -> str | None:
    """The module of a node that reads weights, given as (owner, elements)."""
    values = [ir.Value(name=f"{path}.{size}", const_value=ir.tensor(np.zeros(size, "f4"))) for path, size in weights]
    node = ir.Node("", "Conv", [ir.Value(name="x"), None, *values])
    graph = SimpleNamespace(owners=lambda value: {value.name.partition(".")[0]} & {*ORIGINS, "other"})
    return FusedOriginsPass._weight_owner(cast(GraphFacts, graph), cast(NodeFacts, SimpleNamespace(node=node)), ORIGINS)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([("conv", 54), ("norm", 6)], "conv"),
        ([("norm", 6), ("conv", 54)], "conv"),
        ([("norm", 6), ("norm", 6), ("conv", 7)], "conv"),
        ([("conv", 6), ("norm", 6)], None),
        ([("other", 99), ("norm", 6)], "norm"),
        ([("other", 99)], None),
        ([], None),
    ],
)
def test_the_owner_of_the_largest_weight(weights: list[tuple[str, int]], expected: str | None) -> None:
    assert owner(*weights) == expected
