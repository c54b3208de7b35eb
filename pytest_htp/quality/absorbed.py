"""Results that a stage's operators took in, and the value that leaves such an operator instead.

An activation that is a function (``torch.relu(self.linear(x))``) is no module, so nothing was recorded of what an
operator gives that took it in. The export's own nodes say what it should be: those between the result and the first
value after it that the stage kept by name, if they read nothing else but constants.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import torch

from pytest_htp.parity.references import Reference, References, group_of
from pytest_htp.parity.refusals import RuntimeRefused

Names = Mapping[int, "tuple[str, ...]"]
# Nodes behind a result that one operator takes in: GELU written out has eight.
_MOST = 16


def absorbed(
    references: References, names: Names, export: ir.Model, kept: Collection[str | None]
) -> tuple[dict[int, int], dict[int, str], dict[int, Reference]]:
    """Reference → the one that stands in for it; the latter's names, and those of them that no module returned.

    Args:
        references: of the watched pass.
        names: reference → the values of the export that it is.
        export: the graph before all stages.
        kept: names of the stage's values.
    """
    values = {value.name: value for node in export.graph for value in node.outputs}
    known = {name: index for index, found in names.items() for name in found}
    instead: dict[int, int] = {}
    named: dict[int, str] = {}
    further: dict[int, Reference] = {}
    for index, found in names.items():
        if index >= len(references.items) or not values.keys() & found or any(name in kept for name in found):
            continue
        reference = references.items[index]
        start = next(values[name] for name in reversed(found) if name in values)
        end = _first_kept(start, kept) if reference.tensor.is_floating_point() else None
        if end is None:
            continue
        name = end.name or ""
        if name not in known:
            try:
                tensor = _computed(export, start, end, reference)
            except RuntimeRefused:  # recorded in another type than the graph has (autocast), or no kernel for it
                continue
            if group_of(tensor) != reference.group:
                continue
            known[name] = len(references.items) + len(further)
            named[known[name]] = name
            further[known[name]] = replace(reference, index=known[name], tensor=tensor)
        instead[index] = known[name]
    return instead, named, further


def _first_kept(start: ir.Value, kept: Collection[str | None]) -> ir.Value | None:
    """The first of the values computed from one value and numbers alone that the stage has. A function has no weights:
    behind those of another operator lies another result.
    """
    computed, todo, seen = {start}, [start], 0
    while todo and seen < _MOST:
        for node in todo.pop(0).consumers():
            inputs = [value for value in node.inputs if value is not None]
            if any(value not in computed and not _is_number(value) for value in inputs):
                continue
            seen += 1
            for value in node.outputs:
                if value.name in kept:
                    return value
                if value not in computed:
                    computed.add(value)
                    todo.append(value)
    return None


def _is_number(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.size == 1


def _computed(export: ir.Model, start: ir.Value, end: ir.Value, reference: Reference) -> torch.Tensor:
    """What the export's nodes make of a recorded tensor."""
    from pytest_htp.parity.session import ValueSession  # onnxruntime is an optional dependency

    graph = ir.convenience.extract(export.graph, [start], [end])
    model = ir.to_proto(ir.Model(graph, ir_version=export.ir_version, functions=[*export.functions.values()]))
    session = ValueSession(Path(), {}, ("CPUExecutionProvider",), proto=model)
    fixed = start.shape is not None and start.shape.is_static()
    tensor = reference.tensor.reshape(start.shape.numpy()) if fixed and start.shape else reference.tensor
    ((_, found),) = session.run({start.name or "": tensor})
    return found
