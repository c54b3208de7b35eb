"""Names that the user chose for the graph's inputs and outputs, by place."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from pytest_htp.errors import HTPUsageError


def name_values(model: ir.Model, input_names: Sequence[str], output_names: Sequence[str]) -> None:
    """Rename graph inputs and outputs in place; fewer names than values leave the rest as they are.

    A value inside the graph that has one of the names already gets another.

    Raises:
        HTPUsageError: more names than values, or a name for both ends of a value that only passes through.
    """
    chosen: dict[ir.Value, str] = {}
    for option, names, values in (
        ("input_names", input_names, model.graph.inputs),
        ("output_names", output_names, model.graph.outputs),
    ):
        if len(names) > len(values):
            has = ", ".join(repr(value.name) for value in values) or "none"
            raise HTPUsageError(f"option {option} has {len(names)} names, but the graph has {len(values)}: {has}")
        for value, name in zip(values, names, strict=False):
            if chosen.get(value, name) != name:
                raise HTPUsageError(
                    f"an input of the graph is returned unchanged, so {chosen[value]!r} and {name!r} would name one "
                    "value: give it one name in input_names and output_names"
                )
            chosen[value] = name
    taken = set(chosen.values())
    for graph in model.graphs():
        values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
        for value in values:
            if value not in chosen and value.name in taken:
                value.name = f"{value.name}_inner"
    for value, name in chosen.items():
        value.name = name
