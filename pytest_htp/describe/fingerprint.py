"""Structural fingerprint of a module: what it computes with its own nodes and how it wires its children.

A fingerprint covers operators, attributes, element types and wiring:

1. a value made by one of the module's own nodes is described by that node (recursively);
2. a value made inside a child by the child's relative path; a value from outside by the order in which the
   module's subtree first reads it, so that reading another of the module's inputs is a difference and being
   layer 7 is not;
3. a parameter or buffer by its name within the module and its element type, never by its content;
4. a small constant by its values (floats to six significant digits: the folding of a scale may differ in the
   last bits between machines), a large one by element type and rank; a constant folded from weights never by values;
5. shapes don't take part: batch and sequence length of a dynamic axis must not change it;
6. what the module hands to each child it calls, described in the same way: which of two values a projection reads
   is decided where it is called, and the projection itself looks the same. Sizes don't take part here, since
   optimization reads them off whichever tensor is at hand.

The module's fingerprint is the hash of the sorted descriptions: the order of independent nodes is no
difference. No names take part but those of modules and parameters relative to the module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from pytest_htp.describe.places import Places
from pytest_htp.format.paths import ancestors, relative_to
from pytest_htp.tagging.computed import computed_from_data
from pytest_htp.tagging.facts import NodeFacts

# A constant of up to this many elements is part of the program (axes, shapes, a scale, the pads of eight axes); above
# it is data.
SMALL = 16
# 48 bits, as edition 1 stores them: held against the same module's alone, a change is missed once in 10^14.
_HEX_DIGITS = 12

# A node, and the values that it reads and that aren't constants, with the nodes that make them.
_Reading = tuple[NodeFacts, list[tuple[ir.Value, NodeFacts | None]]]


class Fingerprints:
    """Fingerprints of all modules of one tagged graph."""

    def __init__(self, places: Places) -> None:
        self._graph, self._places = places.graph, places
        self._subtree: dict[str, list[_Reading]] = {"": []}
        around: dict[str, list[list[_Reading]]] = {}  # module path → the subtrees that it is in
        for facts in self._graph.nodes:
            if facts.path is None:
                continue
            reading = self._reading(facts)
            if facts.path not in around:
                around[facts.path] = [
                    self._subtree.setdefault(path, []) for path in (facts.path, *ancestors(facts.path))
                ]
            for subtree in around[facts.path]:
                subtree.append(reading)
        self._constants: dict[ir.Value, str] = {}

    def of(self, path: str) -> str:
        """Fingerprint of one module as 12 hex digits; ``""`` for one without nodes in its subtree."""
        if path not in self._subtree:
            return ""
        outside = self._outside_order(path)
        described: dict[ir.Node, str] = {}
        for facts in self._places.own.get(path, ()):
            described[facts.node] = self._describe(facts.node, path, described, outside)
        handed = self._handed(path, described, outside)
        if not described and not handed:
            return ""
        return digest("\n".join((*sorted(described.values()), *sorted(handed))))[:_HEX_DIGITS]

    def _reading(self, facts: NodeFacts) -> _Reading:
        makers = self._places.makers
        values = [value for value in facts.node.inputs if value is not None and value.const_value is None]
        return facts, [(value, makers.get(value)) for value in values]

    def _handed(self, path: str, described: Mapping[ir.Node, str], outside: Mapping[ir.Value, int]) -> set[str]:
        """One line for each value that a called child reads and does not make."""
        below = self._places.below.get(path)
        if below is None:
            return set()
        handed: dict[tuple[str, ir.Value], str | None] = {}
        for facts, values in self._subtree[path]:
            child = below.get(facts.path)
            if child is None or facts.node.op_type in ("Shape", "Size"):
                continue
            for value, maker in values:
                source = below.get(maker.path) if maker is not None else None
                if source != child:
                    handed[child, value] = source
        lines = set()
        for (child, value), source in handed.items():
            if not _is_size(value):
                # Whose value it is; which of its inner modules made it is the source's own affair.
                source_name = self._input(value, path, described, outside)
                source_name = source_name if source is None else f"child {relative_to(source, path)}"
                lines.add(f"{relative_to(child, path)} < {source_name}")
        return lines

    def _outside_order(self, path: str) -> dict[ir.Value, int]:
        """Values read but not made inside the module's subtree, numbered by first use in graph order."""
        order: dict[ir.Value, int] = {}
        inner = f"{path}."
        for _, values in self._subtree[path]:
            for value, maker in values:
                if value in order:
                    continue
                made = maker.path if maker is not None else None
                if made is None or (path and made != path and not made.startswith(inner)):
                    order[value] = len(order)
        return order

    def _describe(
        self, node: ir.Node, path: str, described: Mapping[ir.Node, str], outside: Mapping[ir.Value, int]
    ) -> str:
        inputs = [self._input(value, path, described, outside) for value in node.inputs]
        outputs = [value.dtype.name if value.dtype is not None else "?" for value in node.outputs]
        attributes = [f"{name}={self._attribute(attr)}" for name, attr in sorted(node.attributes.items())]
        return digest("|".join((node.domain, node.op_type, *attributes, ">", *inputs, "<", *outputs)))

    def _input(
        self, value: ir.Value | None, path: str, described: Mapping[ir.Node, str], outside: Mapping[ir.Value, int]
    ) -> str:
        if value is None:
            return "-"
        if value.const_value is not None and value.producer() is None:
            return self._constant(value, path)
        maker = self._places.makers.get(value)
        if maker is not None and maker.node in described:
            return f"{described[maker.node]}:{value.index()}"
        if value in outside:
            return f"in{outside[value]}:{value.dtype.name if value.dtype is not None else '?'}"
        if maker is not None and maker.path is not None and maker.path != path:
            return f"child {relative_to(maker.path, path)}"
        return "own"

    def _constant(self, value: ir.Value, path: str) -> str:
        if value in self._constants:
            return self._constants[value]
        tensor = value.const_value
        assert tensor is not None
        rank = len(tensor.shape)
        names = self._graph.parameter_names(value)
        if names:
            own = sorted(name for name in names if self._graph.owner_of(name) == path)
            local = own[0][len(path) :].lstrip(".") if own else "elsewhere"
            return f"parameter {local} {tensor.dtype.name} {rank}"
        values = "" if computed_from_data(value) else small_values(tensor)
        return self._constants.setdefault(value, f"constant {tensor.dtype.name} {rank} {values}")

    def _attribute(self, attr: ir.Attr) -> str:
        if attr.is_ref():
            return f"@{attr.ref_attr_name}"
        value = attr.value
        if attr.type == ir.AttributeType.TENSOR:
            return f"{value.dtype.name}{list(value.shape)} {small_values(value)}"
        if attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            # The bodies' nodes are in the rows of the modules they belong to; here only that there are bodies.
            return f"graphs:{len(value) if attr.type == ir.AttributeType.GRAPHS else 1}"
        return _plain(value)


def small_values(tensor: ir.TensorProtocol) -> str:
    """Values of a small constant as canonical text, ``""`` for a large one."""
    if tensor.size > SMALL:
        return ""
    try:
        array = np.asarray(tensor.numpy())
    except (TypeError, ValueError, NotImplementedError, FileNotFoundError):
        return ""
    return _plain(array.reshape(-1).tolist())


def _plain(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return format(value, ".6g")
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_plain(item) for item in value) + "]"
    return str(value)


def _is_size(value: ir.Value) -> bool:
    """Whether a value looks like a size or a shape: integers in at most one dimension."""
    integers = value.dtype in (ir.DataType.INT64, ir.DataType.INT32)
    return integers and value.shape is not None and len(value.shape) <= 1


def digest(text: str) -> str:
    """SHA-256 of a text in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
