"""What each module costs, as far as a record may say it: nothing that another batch or sequence length would change.

``flops`` and ``activation_bytes`` are those of the module's calls with the modules that they call (as in
``FlopCounterMode``'s table: the root's are the whole model's), on the inputs of the watched pass. They are left out
where a size depends on a dynamic axis or on values: where a value that the module's nodes, or those inside of it,
read or make has a symbolic axis, or where one of them is control flow. Once there is such a value anywhere in the
graph, modules of which nothing is known (no nodes, unknown shapes) are left out too. ``params_bytes`` depends on no
input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import onnx_ir as ir

from pytest_htp.describe.places import Places
from pytest_htp.tagging.facts import NodeFacts, bodies_of
from pytest_htp.vocabulary import Cost, ModuleInfo


class Costs:
    """The costs that the rows of one tagged graph may hold."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def of(self, info: ModuleInfo) -> Cost:
        """What may be said of the module's cost. ``attention_flops`` of 0 are None: most modules have none."""
        if info.cost == Cost() or (not self._all_constant and self._sized.get(info.path) != {True}):
            return Cost()
        return replace(info.cost, attention_flops=info.cost.attention_flops or None)

    @cached_property
    def _own(self) -> dict[str | None, set[bool | None]]:
        """Module path → what its own nodes say of their sizes."""
        return {path: {_has_constant_sizes(facts) for facts in nodes} for path, nodes in self._places.own.items()}

    @cached_property
    def _all_constant(self) -> bool:
        inputs = {_has_constant_size(value) for value in self._places.graph.model.graph.inputs}
        return not any(False in sizes for sizes in (inputs, *self._own.values()))

    @cached_property
    def _sized(self) -> dict[str, set[bool | None]]:
        """Module path → what the nodes of its calls say of their sizes."""
        sized: dict[str, set[bool | None]] = {}
        for inner, chain in self._places.chains.items():
            for path in chain:
                sized.setdefault(path, set()).update(self._own[inner])
        return sized


def _has_constant_sizes(facts: NodeFacts) -> bool | None:
    """Whether a node works on constant sizes; None: some shape isn't known. In a body: which one ran is chance."""
    node = facts.node
    if facts.graph or any(bodies_of(attribute) for attribute in node.attributes.values()):
        return False
    found = set(map(_has_constant_size, _values(node)))
    return False if False in found else None if None in found else True


def _values(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.inputs if value is not None and value.const_value is None)
    yield from (value for value in node.outputs if value.uses() or value.is_graph_output())


def _has_constant_size(value: ir.Value) -> bool | None:
    """Whether every axis is a number; None where the shape isn't known."""
    if value.shape is None:
        return None
    # transformers' exporter writes constants as symbols there
    return all(isinstance(dim, int) or (dim.value or "").isdecimal() for dim in value.shape)
