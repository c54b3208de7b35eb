"""What a module computes with its own nodes, in words: one canonical line for each node and each call of a child.

::

    %1 = Sub(in0, in1)
    %2 = Gemm(dense:MatMul, parameter weight, parameter bias; transB=1)
    call layer.{1..11}(layer.{0..10}.output.norm:LayerNormalization, %4)

Operands are own results (``%1``, ``%1.2`` for its third output), a child's (``dense:Split.1``: which module, which
of its operators, which output), values from outside in the order in which they are first read (``in0``), graph
inputs by name, parameters by their name in the module, constants by value, sizes by what they measure
(``size[d0,12]``). What a child is given, in the child's own order of ``in0, in1, …``, is on the line that calls it.

Lines depend on what is computed alone: not on names or numbering of an exporter, nor on the order of independent
nodes, which follow depth first from what the module gives away; nor on values of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

from pytest_htp.describe.fingerprint import digest
from pytest_htp.describe.formal import formal_inputs
from pytest_htp.describe.operands import (
    Sizes,
    Symbol,
    Values,
    attributes,
    body_outputs,
    constant,
    inputs_since,
    is_onnx,
    operator,
    plain_operator,
    present_inputs,
)
from pytest_htp.describe.places import Places
from pytest_htp.describe.weights import left_out_biases
from pytest_htp.format.paths import depth_of, parent_of, relative_to
from pytest_htp.format.program import COMMUTATIVE, fold_calls, plain_name
from pytest_htp.tagging.computed import computed_from_data

_Key = tuple[str, str, int, int]


@dataclass
class _Part:
    """One module described.

    Attributes:
        lines: its program.
        reads: values from outside of it and its children, in the order of ``in0, in1, …``.
        gives: values of it and its children that something else reads.
        labels: own values as others call them: ``Split.1``, ``Add#0`` where there are several.
    """

    lines: list[str] = field(default_factory=list)
    reads: dict[ir.Value, int] = field(default_factory=dict)
    gives: list[ir.Value] = field(default_factory=list)
    labels: dict[ir.Value, str] = field(default_factory=dict)


_Item = ir.Node | str


class Programs:
    """Programs of all modules of one tagged graph.

    Args:
        symbol: canonical name of a dynamic dimension of an input or output, None for other dimensions.
    """

    def __init__(self, places: Places, symbol: Symbol = lambda _: None) -> None:
        self.places, self.graph = places, places.graph
        self.sizes = Sizes(symbol)
        self.position = {facts.node: place for place, facts in enumerate(self.graph.nodes)}
        self.formal = dict(formal_inputs(self.graph))
        self.inputs = {value: f"input {plain_name(value.name or '')}" for value in self.graph.model.graph.inputs}
        owners: tuple[ir.Graph | ir.Function, ...] = (*self.graph.graphs, *self.graph.model.functions.values())
        self.given = {value for owner in owners for value in owner.outputs}
        self.left_out = left_out_biases(self.graph)
        self.parts: dict[str | None, _Part] = {}
        chains = places.chains.values()
        inside = sorted({path for chain in chains for path in chain}, key=lambda path: -depth_of(path))
        for path in (*(path for path in inside if path), None, ""):  # None: nodes without a module
            self.parts[path] = _Writer(self, path).write()

    def of(self, path: str | None) -> list[str]:
        """The program of a module (None: of the nodes without one); empty without nodes in it or its children."""
        return self.parts[path].lines if path in self.parts else []

    def origin(self, value: ir.Value) -> str | None:
        """Which value of its module a graph output is; None where that can't be determined."""
        maker = self.places.makers.get(value)
        if maker is None:
            stored = self.stored(value, "") if value.const_value is not None else None
            return self.inputs.get(value, stored)
        return self.parts[maker.path].labels.get(value)

    def stored(self, value: ir.Value, path: str) -> str:
        """Words for an initializer, as a module knows it: a parameter by name, a constant by what it holds."""
        graph, tensor = self.graph, value.const_value
        assert tensor is not None
        names = graph.parameter_names(value)
        if not names:
            return constant(tensor, values=not (computed_from_data(value) or value.name in graph.unnamed_weights))
        recipe = graph.recipe(value, lambda name: self._parameter(graph.shared_parameters.get(name, (name,)), path))
        return f"parameter {self._parameter(names, path)}{f' by {recipe}' if recipe else ''}"

    def _parameter(self, names: Collection[str], path: str) -> str:
        """A parameter as a module knows it, by the likeliest of its names."""
        own = [name for name in names if self.graph.owner_of(name) == path]
        return plain_name(_from(path, min(own or names, key=lambda n: (not n.startswith(f"{path}."), len(n), n))))


class _Writer:
    """Writes the program of one module, whose children's are written.

    What is asked of a node or value again and again is worked out once: this is most of what describing costs.
    (``isinstance(item, ir.Node)``, a protocol's, would cost more than the rest; what is no ``str`` is a node.)
    """

    def __init__(self, programs: Programs, path: str | None) -> None:
        self.programs, self.path = programs, path
        self.makers = programs.places.makers
        self.below = programs.places.below.get(path, {})
        self.facts = {facts.node: facts for facts in programs.places.own.get(path, ())}
        self.part = _Part()
        self.numbers: dict[ir.Node, int] = {}
        self.shallow: dict[ir.Node, str] = {}
        self.deep: dict[ir.Node, str] = {}
        self.operators = {node: operator(node) for node in self.facts}
        self.attributes = {node: attributes(node, self._opset(node)) for node in self.facts}
        self.heads = {node: self._head(node) for node in self.facts}
        self.bodies = {node: given for node in self.facts if (given := self._bodies(node))}
        # inputs without absent last ones; then what bodies give
        self.operands = {node: [*present_inputs(node), *self._given(node)] for node in self.facts}
        self.unordered = {node for node in self.facts if node.op_type in COMMUTATIVE and is_onnx(node)}
        # Of every value that is asked for: what makes it, here or in a child, and words for it (None: from outside).
        self.items: dict[ir.Value | None, _Item | None] = {}
        self.words: dict[ir.Value | None, str | None] = {}
        # The words as a kind, which has no number for what comes from outside.
        self.kinds: dict[ir.Value | None, str] = {}

    def write(self) -> _Part:
        for node, operands in self.operands.items():
            inputs = node.inputs
            self._look_at(inputs)
            if len(operands) > len(inputs):
                self._look_at(operands)
            self.shallow[node] = f"{self.heads[node]}({', '.join([self.kinds[value] for value in inputs])})"
        children = sorted(set(self.below.values()))
        for child in children:
            self._look_at(self.programs.parts[child].reads)
        if self._tied():
            self._tell_apart()
        for node in self.unordered:
            self.operands[node] = self._ordered(node)
        self.unordered.clear()
        self.part.gives = [value for value in self._candidates(children) if self._leaves(value)]
        self._look_at(self.part.gives)
        first = sorted(self.part.gives, key=self._value_key)
        rest = sorted(self.facts, key=self._node_key)
        roots = [made for value in first if (made := self.items[value]) is not None]
        order = list(_postorder((*roots, *rest, *children), self._needs))
        self._label(order)
        calls: list[str] = []
        for item in order:
            if not isinstance(item, str):
                self.part.lines += fold_calls(calls)
                calls = []
                self.part.lines.append(self._line(item))
            else:
                given = ", ".join(self._described(value) for value in self.programs.parts[item].reads)
                calls.append(f"call {plain_name(relative_to(item, self.path or ''))}({given})")
        self.part.lines += fold_calls(calls)
        return self.part

    def _tied(self) -> bool:
        """Whether what nodes and operands look like by themselves leaves an order open."""
        if len(set(self.shallow.values())) < len(self.shallow):
            return True
        operands = ([self.kinds[value] for value in self.operands[node]] for node in self.unordered)
        return any(len(set(kinds)) < len(kinds) for kinds in operands)

    def _tell_apart(self) -> None:
        """Digests of nodes with all own nodes that they are made of."""
        deep = self.deep
        for item in _postorder(self.facts, self._needs):
            if not isinstance(item, str):
                operands = [self._deep_kind(value) for value in self._ordered(item)]
                deep[item] = digest("|".join((self.heads[item], *operands)))

    def _opset(self, node: ir.Node) -> int | None:
        return self.programs.graph.model.opset_imports.get(node.domain or "")

    def _head(self, node: ir.Node) -> str:
        given = ",".join(f"{name}={text}" for name, text in self.attributes[node].items())
        return f"{self.operators[node]};{given}"

    def _bodies(self, node: ir.Node) -> list[tuple[str, Values]]:
        """What bodies of control flow give, or the function that a node calls."""
        given = body_outputs(node) if node.attributes else []
        functions = self.programs.graph.model.functions
        called = functions.get(node.op_identifier()) if functions else None
        return given if called is None else [*given, ("gives", list(called.outputs))]

    def _given(self, node: ir.Node) -> Values:
        """What the node's bodies give."""
        return [value for _, given in self.bodies.get(node, ()) for value in given] if self.bodies else []

    # What an item needs first: own nodes and children by what they read.

    def _look_at(self, values: Iterable[ir.Value | None]) -> None:
        for value in values:
            if value in self.items:
                continue
            item = self.items[value] = self._found(value)
            if value is None or item is None or isinstance(item, str):
                words = self.words[value] = self._named(value)
                self.kinds[value] = words or "in"
            else:
                self.kinds[value] = f"{self.operators[item]}.{value.index()}"

    def _found(self, value: ir.Value | None) -> _Item | None:
        maker = self.makers.get(value)
        if maker is None or value is None:
            return None
        if maker.path == self.path:
            return maker.node
        child = self.below.get(maker.path)
        return None if child is None or self.programs.sizes.of(value) is not None else child

    def _needs(self, item: _Item) -> list[_Item]:
        values = self.programs.parts[item].reads if isinstance(item, str) else self._ordered(item)
        items = self.items
        return [found for value in values if (found := items[value]) is not None]

    def _ordered(self, node: ir.Node) -> Values:
        """The operands, a commutative operator's in canonical order as far as that is known yet."""
        operands = self.operands[node]
        if node not in self.unordered:
            return operands
        count = len(operands) - len(self._given(node))
        in_order = sorted(operands[:count], key=lambda value: (self.kinds[value], self._deep_kind(value)))
        return [*in_order, *operands[count:]]

    # Order of what is independent.

    def _deep_kind(self, value: ir.Value | None) -> str:
        """A value in words with all own nodes that it is made of."""
        item = self.items[value]
        if value is None or item is None or isinstance(item, str):
            return self.kinds[value]
        return f"{self.deep.get(item, '')}.{value.index()}"

    def _node_key(self, node: ir.Node) -> _Key:
        call = self.facts[node].call
        position = self.programs.position[node]
        return self.shallow[node], self.deep.get(node, ""), -1 if call is None else call, position

    def _value_key(self, value: ir.Value) -> _Key:
        item = self.items[value]
        if item is None or isinstance(item, str):
            return self.kinds[value], "", 0, 0
        shallow, deep, call, position = self._node_key(item)
        return f"{shallow}.{value.index()}", deep, call, position

    def _candidates(self, children: Iterable[str]) -> Iterator[ir.Value]:
        for node in self.facts:
            yield from node.outputs
        for child in children:
            yield from self.programs.parts[child].gives

    def _leaves(self, value: ir.Value) -> bool:
        if value in self.programs.given:
            return True
        by_node = self.programs.graph.by_node
        for use in value.uses():
            facts = by_node.get(use.node)
            if facts is None or (facts.path != self.path and facts.path not in self.below):
                return True
        return False

    def _label(self, order: Iterable[ir.Node | str]) -> None:
        nodes = [item for item in order if not isinstance(item, str)]
        self.numbers = {node: number for number, node in enumerate(nodes, 1)}
        alike: dict[str, list[ir.Node]] = {}
        for node in nodes:
            alike.setdefault(self.operators[node], []).append(node)
        for name, found in alike.items():
            plain = plain_name(name)
            for ordinal, node in enumerate(found):
                label = f"{plain}#{ordinal}" if len(found) > 1 else plain
                for place, value in enumerate(node.outputs):
                    self.part.labels[value] = f"{label}.{place}" if place else label

    # Words.

    def _line(self, node: ir.Node) -> str:
        operands, bodies = self.operands[node], self.bodies.get(node, [])
        inputs = [self._described(value) for value in operands[: len(operands) - len(self._given(node))]]
        bias = self.programs.left_out.get(node)
        if bias is not None:
            inputs[2:] = ["parameter bias" if bias.own else f"{bias.dtype} of rank 1"]
        since = inputs_since(node)
        for place, words in since.values():
            inputs += ["-"] * (place + 1 - len(inputs))
            inputs[place] = words
        details = [f"{name}={text}" for name, text in self.attributes[node].items() if name not in since]
        epsilon = self.facts[node].epsilon
        details += [f"batch_norm_epsilon={epsilon:.6g}"] if epsilon is not None else []
        details += [f"{name}=({', '.join(map(self._described, given))})" for name, given in bodies]
        ending = f"; {', '.join(details)}" if details else ""
        return f"%{self.numbers[node]} = {plain_operator(node)}({', '.join(inputs)}{ending})"

    def _described(self, value: ir.Value | None) -> str:
        item = self.items[value]
        if value is not None and item is not None and not isinstance(item, str):
            place = value.index()
            return f"%{self.numbers[item]}.{place}" if place else f"%{self.numbers[item]}"
        words = self.words[value]
        if words is None:
            assert value is not None
            words = f"in{self.part.reads.setdefault(value, len(self.part.reads))}"
        return words

    def _named(self, value: ir.Value | None) -> str | None:
        """Words for a value that no own node makes; None for one from outside."""
        if value is None:
            return "-"
        if value.const_value is not None and value.producer() is None:
            return self.programs.stored(value, self.path or "")
        size = self.programs.sizes.of(value)
        if size is not None:
            return size
        maker = self.makers.get(value)
        if maker is None:
            return self._without_maker(value)
        if self.path is not None and (maker.path == self.path or maker.path not in self.below):
            return None if self.path or maker.path is not None else self._labelled("untagged", None, value)
        if maker.path is None:
            return self._labelled("untagged", None, value)
        return self._labelled(relative_to(maker.path, self.path or ""), maker.path, value)

    def _labelled(self, name: str, path: str | None, value: ir.Value) -> str:
        part = self.programs.parts.get(path)
        producer = value.producer()
        assert producer is not None
        label = part.labels[value] if part is not None and value in part.labels else plain_operator(producer)
        return f"{plain_name(name)}:{label}"

    def _without_maker(self, value: ir.Value) -> str | None:
        runner, words = self.programs.formal.get(value, (None, ""))
        if runner is not None and runner.path == self.path:
            return words
        if self.path:
            return None
        return words or self.programs.inputs.get(value, "nothing")


def _from(path: str, name: str) -> str:
    """A parameter's name as its reader knows it: ``weight``; another module's with ``^`` for each module outwards."""
    ups = 0
    while path and not name.startswith(f"{path}."):
        path = parent_of(path) or ""
        ups += 1
    return "^" * ups + relative_to(name, path)


def _postorder(roots: Iterable[_Item], needs: Callable[[_Item], list[_Item]]) -> Iterator[_Item]:
    """Depth first, what is needed first; without recursion, for chains are long. Cycles (a child that is called
    again with what was made of its result) are cut where they close.
    """
    seen: set[_Item] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(needs(root)))]
        while stack:
            for need in stack[-1][1]:
                if need not in seen:
                    seen.add(need)
                    stack.append((need, iter(needs(need))))
                    break
            else:
                yield stack.pop()[0]
