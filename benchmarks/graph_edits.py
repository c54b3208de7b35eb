"""Single edits of a tagged ONNX graph, made and undone: for ``semantic_mutations.py``.

- ``attribute``: another value, also of an attribute that was left at its default; branches exchanged;
- ``constant``: an element of a small constant, a larger one rolled;
- ``edge``: another value of the same type and shape is read; ``parameter``: another weight;
- ``operands``: two inputs of a node exchanged;
- ``outputs``: two outputs of a node, two values that leave one module, two outputs of the graph exchanged;
- ``inputs``: two inputs of the graph exchanged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from pytest_htp.tagging.computed import computed_from_data
from pytest_htp.tagging.facts import GraphFacts, NodeFacts

Undo = Callable[[], None]
KINDS = ("attribute", "constant", "edge", "parameter", "operands", "outputs", "inputs")
_FEW = 64  # elements of a constant that is edited in one place; a larger one is rolled
_PAIRS = 6  # of values that leave one module, of outputs and of inputs of the graph
# Text that means something, by what it may say instead.
_WORDS = (
    ("forward", "reverse"),
    ("none", "tanh"),
    ("none", "add", "mul", "max", "min"),
    ("constant", "reflect", "edge"),
    ("nearest", "linear", "cubic"),
    ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"),
    ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    ("zeros", "border", "reflection"),
    ("DCR", "CRD"),
    ("NOTSET", "SAME_UPPER", "VALID"),
    ("Tanh", "Sigmoid", "Relu"),
)
_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64)


@dataclass(frozen=True)
class Edit:
    """One edit: what was done, to which node, and where a finding may rightly be."""

    kind: str
    what: str
    right: frozenset[str | None]


Done = tuple[Edit, Undo]
Make = Callable[[random.Random], Done | None]


def edits(graph: GraphFacts) -> Iterator[tuple[str, Make]]:
    """Kind → what makes an edit, None where there is nothing to edit after all."""
    for facts in graph.nodes:
        node = facts.node
        for name in {*node.attributes, *_defaults(node, graph)}:
            yield "attribute", lambda g, f=facts, n=name: _edit_attribute(graph, f, n, g)
        if node.op_type == "If":
            yield "attribute", lambda g, f=facts: _exchange_branches(f)
        real = [place for place, value in enumerate(node.inputs) if value is not None]
        for place in real:
            value = node.inputs[place]
            assert value is not None
            if value.const_value is None or value.producer() is not None:
                yield "edge", lambda g, f=facts, p=place: _edit_edge(graph, f, p, g)
            elif graph.parameter_names(value):
                # What a parameter holds is data: no edit of the program. Which one is read is the program's.
                yield "parameter", lambda g, f=facts, p=place: _edit_parameter(graph, f, p, g)
            elif not (computed_from_data(value) or value.name in graph.unnamed_weights):
                # What a rewrite folded of some (Conv with BatchNorm) is data too, and nameless.
                yield "constant", lambda g, f=facts, p=place: _edit_constant(graph, f, p, g)
        for first, second in combinations(real, 2):
            yield "operands", lambda g, f=facts, a=first, b=second: _exchange_inputs(graph, f, a, b)
        for one, other in combinations(node.outputs, 2):
            yield "outputs", lambda g, a=one, b=other: _exchange_values(graph, a, b)
    for values in _leaving(graph):
        for one, other in list(combinations(values, 2))[:_PAIRS]:
            yield "outputs", lambda g, a=one, b=other: _exchange_values(graph, a, b, outside_only=True)
    for first, second in list(combinations(range(len(graph.model.graph.outputs)), 2))[: 2 * _PAIRS]:
        yield "outputs", lambda g, a=first, b=second: _exchange_results(graph, a, b)
    for one, other in list(combinations(graph.model.graph.inputs, 2))[: 2 * _PAIRS]:
        yield "inputs", lambda g, a=one, b=other: _exchange_values(graph, a, b, kind="inputs")


def _defaults(node: ir.Node, graph: GraphFacts) -> dict[str, Any]:
    """Attributes that the node leaves at a default: name → that value."""
    version = graph.model.opset_imports.get(node.domain or "")
    if version is None or node.domain not in ("", "ai.onnx"):
        return {}
    try:
        schema = onnx.defs.get_schema(node.op_type, version)
    except onnx.defs.SchemaError:
        return {}
    return {
        name: onnx.helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if name not in node.attributes and attribute.default_value.type != onnx.AttributeProto.UNDEFINED
    }


def _edit_attribute(graph: GraphFacts, facts: NodeFacts, name: str, generator: random.Random) -> Done | None:
    node, old = facts.node, facts.node.attributes.get(name)
    value = _defaults(node, graph)[name] if old is None else old.value
    new = _other(name, value.decode() if isinstance(value, bytes) else value, generator)
    if new is None:
        return None
    node.attributes[name] = new

    def undo() -> None:
        if old is None:
            node.attributes.pop(name)
        else:
            node.attributes[name] = old

    return Edit("attribute", f"{facts.key} {name}", frozenset({facts.path})), undo


def _other(name: str, value: Any, generator: random.Random) -> ir.Attr | None:
    """An attribute of the same name and kind that says something else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        if name in ("to", "dtype"):
            return ir.AttrInt64(name, generator.choice([kind for kind in _TYPES if kind != value]))
        return ir.AttrInt64(name, value + generator.choice([-1, 1]))
    if isinstance(value, float):
        return ir.AttrFloat32(name, value * 1000 + 0.5)
    if isinstance(value, str):
        other = _word(value, generator)
        return None if other is None else ir.AttrString(name, other)
    if isinstance(value, ir.TensorProtocol):
        array = _changed(np.array(value.numpy()), generator)
        return None if array is None else ir.AttrTensor(name, ir.tensor(array, name=value.name))
    if not isinstance(value, Sequence) or not value:
        return None
    values = list(value)
    place = generator.randrange(len(values))
    if isinstance(values[0], str):
        other = _word(values[place], generator)
        values[place] = other
        return None if other is None else ir.AttrStrings(name, values)
    if name == "perm" and len(values) > 1:
        a, b = generator.sample(range(len(values)), 2)
        values[a], values[b] = values[b], values[a]
    elif isinstance(values[0], int):
        values[place] += 1
    else:
        return None
    return ir.AttrInt64s(name, values)


def _word(value: str, generator: random.Random) -> str | None:
    if "->" in value:  # an equation: its result's axes in another order
        before, _, after = value.partition("->")
        axes = list(after)
        if len(axes) < 2:
            return None
        a, b = generator.sample(range(len(axes)), 2)
        axes[a], axes[b] = axes[b], axes[a]
        return f"{before}->{''.join(axes)}"
    choices = [other for words in _WORDS if value in words for other in words if other != value]
    return generator.choice(choices) if choices else None


def _exchange_branches(facts: NodeFacts) -> Done:
    attributes = facts.node.attributes

    def put() -> None:
        one, other = attributes["then_branch"].value, attributes["else_branch"].value
        attributes["then_branch"] = ir.AttrGraph("then_branch", other)
        attributes["else_branch"] = ir.AttrGraph("else_branch", one)

    put()
    return Edit("attribute", f"{facts.key} branches", frozenset({facts.path})), put


def _changed(array: np.ndarray[Any, Any], generator: random.Random) -> np.ndarray[Any, Any] | None:
    if array.size == 0 or array.dtype.kind not in "fiub":
        return None
    flat = array.reshape(-1)
    spot = generator.randrange(flat.size)
    if array.dtype.kind == "b":
        flat[spot] = not flat[spot]
    elif array.size > _FEW:
        flat[:] = np.roll(flat, 1)
    else:
        flat[spot] = flat[spot] * 2 + 1 if array.dtype.kind == "f" else flat[spot] + 1
    return array


def _edit_constant(graph: GraphFacts, facts: NodeFacts, place: int, generator: random.Random) -> Done | None:
    node, value = facts.node, facts.node.inputs[place]
    assert value is not None
    assert value.const_value is not None
    array = _changed(np.array(value.const_value.numpy()), generator)
    if array is None:
        return None
    tensor = ir.tensor(array, name=f"{value.name}_edited")
    fresh = ir.Value(name=tensor.name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape)
    graph.model.graph.register_initializer(fresh)
    node.replace_input_with(place, fresh)

    def undo() -> None:
        node.replace_input_with(place, value)
        graph.model.graph.initializers.pop(fresh.name)

    return Edit("constant", f"{facts.key} input {place}", frozenset({facts.path})), undo


def _edit_parameter(graph: GraphFacts, facts: NodeFacts, place: int, generator: random.Random) -> Done | None:
    """The node reads another weight of the same type and shape."""
    node, old = facts.node, facts.node.inputs[place]
    assert old is not None
    stored = graph.model.graph.initializers.values()
    alike = [v for v in stored if v is not old and _alike(v, old) and graph.parameter_names(v)]
    if not alike:
        return None
    new = generator.choice(alike)
    node.replace_input_with(place, new)
    edit = Edit("parameter", f"{facts.key} input {place}: {old.name} -> {new.name}", frozenset({facts.path}))
    return edit, lambda: node.replace_input_with(place, old)


def _edit_edge(graph: GraphFacts, facts: NodeFacts, place: int, generator: random.Random) -> Done | None:
    """The node reads another value of the same type and shape that was made before."""
    node, old = facts.node, facts.node.inputs[place]
    assert old is not None
    candidates = [*graph.model.graph.inputs]
    for other in graph.nodes:
        if other.node is node:
            break
        if other.node.graph is node.graph:
            candidates += other.node.outputs
    alike = [value for value in candidates if value is not old and _alike(value, old)]
    if not alike:
        return None
    new = generator.choice(alike)
    node.replace_input_with(place, new)
    right = _hands(graph, facts, old, new)
    return Edit("edge", f"{facts.key} input {place}", right), lambda: node.replace_input_with(place, old)


def _alike(one: ir.Value, other: ir.Value) -> bool:
    if one.dtype != other.dtype or one.shape is None or other.shape is None:
        return False
    return [str(dim) for dim in one.shape] == [str(dim) for dim in other.shape]


def _exchange_inputs(graph: GraphFacts, facts: NodeFacts, first: int, second: int) -> Done | None:
    node = facts.node
    a, b = node.inputs[first], node.inputs[second]
    if a is b or a is None or b is None or a.dtype != b.dtype:
        return None

    def put(x: ir.Value, y: ir.Value) -> None:
        node.replace_input_with(first, x)
        node.replace_input_with(second, y)

    put(b, a)
    return Edit("operands", f"{facts.key} {first}, {second}", _hands(graph, facts, a, b)), lambda: put(a, b)


def _leaving(graph: GraphFacts) -> Iterator[list[ir.Value]]:
    """Values that one module's own nodes make and nodes elsewhere read, those of one type and shape together."""
    groups: dict[tuple[object, ...], list[ir.Value]] = {}
    for facts in graph.nodes:
        for value in facts.node.outputs:
            readers = {graph.by_node[use.node].path for use in value.uses() if use.node in graph.by_node}
            if value.shape is not None and readers - {facts.path}:
                key = facts.path, id(facts.node.graph), value.dtype, *map(str, value.shape)
                groups.setdefault(key, []).append(value)
    return (values for values in groups.values() if len(values) > 1)


def _exchange_values(
    graph: GraphFacts, a: ir.Value, b: ir.Value, *, kind: str = "outputs", outside_only: bool = False
) -> Done | None:
    """What read the first value reads the second, and the other way round; ``outside_only``: but for the module that
    makes them.
    """
    if a.dtype != b.dtype:
        return None
    makers = [graph.by_node.get(node) if (node := value.producer()) is not None else None for value in (a, b)]
    home = makers[0].path if makers[0] is not None else ""
    uses = [(use.node, use.idx, value) for value in (a, b) for use in value.uses() if use.node in graph.by_node]
    if outside_only:
        uses = [use for use in uses if graph.by_node[use[0]].path != home]
    if not uses:
        return None

    def put(swap: bool) -> None:
        for node, place, value in uses:
            node.replace_input_with(place, {a: b, b: a}[value] if swap else value)

    put(True)
    right: set[str | None] = {home}
    for node, _, _ in uses:
        right |= _hands(graph, graph.by_node[node], a, b)
    return Edit(kind, f"{a.name} and {b.name}", frozenset(right)), lambda: put(False)


def _exchange_results(graph: GraphFacts, first: int, second: int) -> Done | None:
    """Two outputs of the graph are each other's values; names stay at their places."""
    outputs = graph.model.graph.outputs
    a, b = outputs[first], outputs[second]
    if a is b or not _alike(a, b):
        return None

    def put() -> None:
        outputs[first], outputs[second] = outputs[second], outputs[first]
        a.name, b.name = b.name, a.name

    put()
    paths = {facts.path for value in (a, b) if (facts := graph.by_node.get(value.producer())) is not None}
    common = graph.deepest_common(path for path in paths if path is not None)
    return Edit("outputs", f"results {first} and {second}", frozenset({common, "", *paths})), put


def _hands(graph: GraphFacts, facts: NodeFacts, *values: ir.Value) -> frozenset[str | None]:
    """The modules that decide what a node reads: its own, and those on the way to the modules that made the values."""
    paths = {facts.path}
    foreign = False
    for value in values:
        producer = value.producer()
        maker = graph.by_node.get(producer) if producer is not None else None
        paths.add(maker.path if maker is not None else "")
        foreign |= (maker.path if maker is not None else "") != facts.path and value.const_value is None
    if not foreign or facts.path is None:
        return frozenset({facts.path})
    common = graph.deepest_common(path for path in paths if path is not None)
    chain = graph.call_path(facts.path)
    return frozenset(chain[chain.index(common) :] if common in chain else chain)
