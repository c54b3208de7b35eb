"""Which values of a graph to measure against which recorded tensors, and the numbers as the values come.

A recorded tensor (a *reference*, see :mod:`pytest_htp.parity.references`) is looked for under

1. the name that the value equal to it had in the export: tools keep most tensor names;
2. its place: values that cross the border of the call which returned or took it, by the tags;
3. its elements, to a percent.

What a tool does to such a value next without computing with it (quantize and dequantize it, cast, copy) is part of
what the module hands on, so the value at the end of such a chain is measured as well. So is what the module itself does
to its shape: several values of the graph then have the reference's elements in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir
import torch

from pytest_htp.parity.flow import Flow, Placement
from pytest_htp.parity.references import Reference, References, group_of
from pytest_htp.quality.absorbed import Names, absorbed
from pytest_htp.quality.sqnr import Signal, Undefined

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast", "Identity"})
# The same elements in row-major order.
_SHAPES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten"})

Numbers = dict[ir.Value, "float | Undefined"]


@dataclass
class Meter:
    """Numbers by reference and value.

    Attributes:
        named: reference → the value that has its name.
        expected: references that were values of the export, all where that is not known.
        numbers: reference → value → dB.
        ends: value → the values that conversions make of it, and itself where something else reads it.
        instead: reference → the one that leaves the operator which took it in (:mod:`pytest_htp.quality.absorbed`).
    """

    references: References
    named: dict[int, ir.Value]
    expected: frozenset[int]
    ends: dict[ir.Value, list[ir.Value]]
    numbers: dict[int, Numbers] = field(default_factory=dict)
    instead: dict[int, int] = field(default_factory=dict)
    _further: dict[int, Reference] = field(default_factory=dict)
    _wanted: dict[ir.Value, set[int]] = field(default_factory=dict)
    _signals: dict[int, Signal] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        program: ir.Model,
        references: References,
        flow: Flow,
        placement: Placement,
        places: Mapping[ir.Value, set[int]],
        names: Names,
        export: ir.Model | None,
    ) -> Meter:
        """A meter for what the watched forward pass holds, by the names that these values have in the program."""
        values = {value.name: value for value in program.graph.inputs}
        values |= {value.name: value for node in flow.nodes for value in node.outputs}
        named = {}
        for index, known in names.items():
            found = next((values[name] for name in known if name in values), None)
            if found is not None and index < len(references.items):
                named[index] = found
        instead: dict[int, int] = {}
        further: dict[int, Reference] = {}
        if export is not None:
            instead, standing_in, further = absorbed(references, names, export, values.keys())
            named |= {index: values[name] for index, name in standing_in.items()}
        wanted = {value: set(indices) for value, indices in places.items()}
        for index, value in named.items():
            wanted.setdefault(value, set()).add(index)
        ends = {value: list(_ends(value, flow, placement)) for value in wanted}
        for value, indices in list(wanted.items()):
            for end in ends[value]:
                wanted.setdefault(end, set()).update(indices)
        expected = frozenset(names) if names else frozenset(reference.index for reference in references.items)
        return cls(references, named, expected, ends, {}, instead, further, wanted)

    def add(self, value: ir.Value, tensor: torch.Tensor, alike: Collection[int]) -> None:
        """One value, as ONNX Runtime gives it; ``alike``: references that it agrees with on a sample."""
        if not tensor.dtype.is_floating_point or not tensor.numel():
            return
        for index in {*alike, *self._wanted.get(value, ())}:
            reference = self._further.get(index) or self.references.items[index]
            if reference.group == group_of(tensor):
                if index not in self._signals:
                    self._signals[index] = Signal(reference.tensor)
                self.numbers.setdefault(index, {})[value] = self._signals[index].ratio(tensor)


def _ends(value: ir.Value, flow: Flow, placement: Placement) -> Iterator[ir.Value]:
    """Ends of the chains of conversions that begin at a value; the value itself where one is empty."""
    maker = value.producer()
    module = None if maker is None else placement.facts[flow.position[maker]].path
    todo, seen = [value], {value}
    while todo:
        current = todo.pop()
        readers = list(flow.readers(current))
        going_on = [
            node
            for node in readers
            if node.inputs[0] is current
            and (
                node.op_type in CONVERSIONS
                or (node.op_type in _SHAPES and module == placement.facts[flow.position[node]].path)
            )
        ]
        if current.is_graph_output() or len(going_on) < len(readers) or not readers:
            yield current
        for node in going_on:
            if node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                todo.append(node.outputs[0])
