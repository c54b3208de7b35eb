"""What is known of each ONNX node before and while the passes decide its tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import onnx_ir as ir

from pytest_htp.capture.scopes import read_stack
from pytest_htp.format.paths import owner_of
from pytest_htp.tag import paths_in
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.stacks import StackReader
from pytest_htp.vocabulary import ModuleInfo

if TYPE_CHECKING:  # tags of files are carried without torch
    from pytest_htp.capture.program import FxOrigin
    from pytest_htp.capture.provenance import Provenance


@dataclass(slots=True)
class NodeFacts:
    """One node: where it lives, which module the passes gave it, and why.

    ``path`` is the tagged module (None while undecided), ``origins`` the paths of all modules it was made of,
    ``call`` the 0-based call of that module where the exported program knows it, ``rule`` the name of the rule that
    decided. Of a graph that was made of another one, ``stands_for`` are the keys of the nodes there that this one
    stands for, ``ends`` has those of them that read or made each of its values, ``rewired`` are the values it reads
    that none of them did, ``replayed`` that all of them were (:meth:`GraphFacts.is_replayed`), and ``cause`` says why a
    node without evidence has none. ``epsilon`` is that of a batch norm which was folded into the node's weights.
    """

    key: str
    node: ir.Node
    graph: str
    evidence: Evidence = Evidence.NONE
    path: str | None = None
    rule: str | None = None
    origins: tuple[str, ...] = ()
    call: int | None = None
    recorded: str | None = None  # the path its own metadata names, once validated
    stands_for: tuple[str, ...] = ()
    ends: Mapping[ir.Value, tuple[NodeFacts, ...]] = field(default_factory=dict)
    rewired: frozenset[ir.Value] = frozenset()
    replayed: bool = False
    cause: str | None = None
    epsilon: float | None = None

    def decide(self, evidence: Evidence, path: str, rule: str, origins: Iterable[str] = ()) -> None:
        """Tag the node: its module, on what evidence, by which rule; without ``origins`` it is the module's own."""
        self.evidence, self.path, self.rule = evidence, path, rule
        self.origins = tuple(sorted(set(origins))) or (path,)


@dataclass
class GraphFacts:
    """All nodes of a model with everything the passes may consult.

    Args:
        model: the ONNX model; never changed here.
        modules: the model's real modules by path; a tag can only name one of these.
        provenance: what was observed of the export; None leaves only what the file itself says.
        shared_parameters: parameter or buffer name → all names of the same tensor (tied weights).
        unnamed_weights: initializers that hold weights under no parameter's name (``val_1``, transposed at export);
            their content is data, as a parameter's is.
        zero_biases: parameters of zeros → elements (:func:`pytest_htp.capture.parameters.zero_biases`).
    """

    model: ir.Model
    modules: Mapping[str, ModuleInfo]
    provenance: Provenance | None = None
    shared_parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unnamed_weights: frozenset[str] = frozenset()
    zero_biases: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> list[NodeFacts]:
        """Main graph first (depth first into bodies), then functions, each in graph order."""
        placed: list[tuple[str, ir.Node]] = [
            (_graph_label(node, self.model), node) for node in _nodes_in(self.model.graph)
        ]
        for identifier, function in self.model.functions.items():
            label = "::".join(part for part in identifier if part)
            placed.extend((label, node) for node in _nodes_in(function))
        return [
            NodeFacts(key=key, node=node, graph=graph)
            for key, (graph, node) in zip(node_keys(placed), placed, strict=True)
        ]

    @cached_property
    def graphs(self) -> list[ir.Graph]:
        """The main graph and the bodies in it."""
        return list(dict.fromkeys(graphs_in(self.model.graph)))

    @cached_property
    def by_node(self) -> dict[ir.Node, NodeFacts]:
        """What is known of each node."""
        return {facts.node: facts for facts in self.nodes}

    @cached_property
    def siblings(self) -> dict[ir.Node, tuple[list[NodeFacts], int]]:
        """Node → (all nodes of the same graph or body in order, its position among them)."""
        by_graph: dict[int, list[NodeFacts]] = {}
        for facts in self.nodes:
            by_graph.setdefault(id(facts.node.graph), []).append(facts)
        return {
            facts.node: (siblings, position)
            for siblings in by_graph.values()
            for position, facts in enumerate(siblings)
        }

    @cached_property
    def merged_into(self) -> dict[str, list[str]]:
        """Initializer name → names that deduplication merged into it."""
        merged: dict[str, list[str]] = {}
        for dropped, kept in (self.provenance.merged_initializers if self.provenance else {}).items():
            merged.setdefault(kept, []).append(dropped)
        return merged

    def undecided(self) -> Iterator[NodeFacts]:
        """Nodes without a tag so far."""
        return (facts for facts in self.nodes if facts.path is None)

    @cached_property
    def stacks(self) -> StackReader:
        """Reads recorded call stacks against this model's modules."""
        return StackReader(self.modules)

    @cached_property
    def runners(self) -> dict[int, NodeFacts]:
        """``id`` of a control-flow body → the node that runs it."""
        if len(self.graphs) == 1 and not self.model.functions:
            return {}
        return {id(body): facts for facts in self.nodes for body in bodies_in(facts.node)}

    def own_stack(self, facts: NodeFacts) -> tuple[str, ...] | None:
        """The validated call stack in the node's own metadata."""
        stack = read_stack(facts.node.metadata_props)
        return self.stacks.read(stack.frames) if stack else None

    def origin_stacks(self, facts: NodeFacts) -> list[tuple[FxOrigin, tuple[str, ...]]]:
        """FX origins of a node with their validated stacks.

        The node's mark gives the origins; of a node without one the name of a value it makes, or the FX node
        that its metadata names.
        """
        if self.provenance is None:
            return []
        stacks = []
        for origin in self.provenance.origins_of(facts.node) or self._origins_by_name(facts.node):
            paths = self.stacks.read((frame.path, frame.class_name) for frame in origin.frames)
            if paths is not None:
                stacks.append((origin, paths))
        return stacks

    def is_replayed(self, facts: NodeFacts) -> bool:
        """Whether the exporter recorded a view as its reader's (:attr:`FxOrigin.replayed`)."""
        origins = self.origin_stacks(facts)
        return facts.replayed or (bool(origins) and all(origin.replayed for origin, _ in origins))

    def _origins_by_name(self, node: ir.Node) -> tuple[FxOrigin, ...]:
        provenance = self.provenance
        assert provenance is not None
        for output in node.outputs:
            mark = provenance.marks_by_value.get(output.name or "")
            if mark:
                return tuple(provenance.origins[int(part)] for part in mark.split(","))
        stack = read_stack(node.metadata_props)
        named = provenance.program.named(stack.fx_name) if stack and provenance.program else None
        return (named,) if named is not None else ()

    def call_path(self, path: str) -> tuple[str, ...]:
        """The modules on the call path of a module, root first, itself last (as in its tag)."""
        return paths_in(self.modules[path].tag)

    def deepest_common(self, paths: Iterable[str]) -> str:
        """The deepest module on all call paths; the root is on every one."""
        chains = [self.call_path(path) for path in set(paths)]
        common = ""
        for level in zip(*chains, strict=False):
            if len(set(level)) > 1:
                break
            common = level[0]
        return common

    def parameter_names(self, value: ir.Value) -> set[str]:
        """Names of the parameters and buffers an initializer holds or was folded from, and all ties."""
        if not value.name or value.const_value is None:
            return set()
        names = {value.name, *self.merged_into.get(value.name, ())}
        for name in list(names):
            names.update(self.shared_parameters.get(name, ()))
        for name in folded_from(value):
            names.update(self.shared_parameters.get(name, ()))
        return {name for name in names if name in self.shared_parameters}

    def recipe(self, value: ir.Value, word: Callable[[str], str]) -> str:
        """How the exported program computed an initializer that was folded of parameters; empty where nothing is known.

        Args:
            value: the initializer.
            word: a parameter's name as the reader knows it.
        """
        program = self.provenance.program if self.provenance is not None else None
        folded = folded_from(value)
        return program.recipes.of((value.name or "", *folded), word) if program is not None and folded else ""

    def epsilon(self, origin: FxOrigin) -> float | None:
        """The epsilon of a batch norm of the exported program; None of anything else."""
        program = self.provenance.program if self.provenance is not None else None
        return program.recipes.epsilon(origin.name) if program is not None and "batch_norm" in origin.target else None

    def owners(self, value: ir.Value) -> set[str]:
        """Paths of the modules that own the parameters behind an initializer."""
        return {owner for name in self.parameter_names(value) if (owner := self.owner_of(name)) is not None}

    def owner_of(self, parameter: str) -> str | None:
        """The module a parameter belongs to; what a parametrization computes from counts as the module's."""
        owner = owner_of(parameter).partition("parametrizations.")[0].rstrip(".")
        return owner if owner in self.modules else None


def folded_from(value: ir.Value) -> Iterable[str]:
    """Names of the values a folded constant was computed from (onnxscript keeps them on the value)."""
    names = value.meta.get("pkg.onnxscript.optimizer.folded_from")
    return names if isinstance(names, (set, frozenset)) else ()


def bodies_of(attribute: ir.Attr) -> tuple[ir.Graph, ...]:
    """The graphs in an attribute: the bodies of a control-flow operator."""
    if attribute.is_ref():
        return ()
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.as_graph(),)
    return tuple(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else ()


def bodies_in(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs that a node runs."""
    for attribute in node.attributes.values() if node.attributes else ():
        yield from bodies_of(attribute)


def _nodes_in(graph: ir.Graph | ir.Function) -> Iterator[ir.Node]:
    """Nodes in order, each before those of its bodies (onnx_ir's iterator takes three times as long)."""
    for node in graph:
        yield node
        for body in bodies_in(node):
            yield from _nodes_in(body)


def graphs_in(graph: ir.Graph) -> Iterator[ir.Graph]:
    """A graph and the bodies in it (``onnx_ir``'s ``graphs`` takes three times as long)."""
    yield graph
    for node in graph:
        for body in bodies_in(node):
            yield from graphs_in(body)


def _graph_label(node: ir.Node, model: ir.Model) -> str:
    graph = node.graph
    return "" if graph is model.graph or graph is None else (graph.name or "body")


def node_keys(placed: Iterable[tuple[str, ir.Node]]) -> list[str]:
    """One deterministic key per ``(graph label, node)``: the node's name where unique, else a made one.

    A made key is ``graph/name#k`` (``graph/OpType#k`` without a name), ``k`` counting such nodes in graph
    order; it never equals the name of another node.
    """
    placed = list(placed)
    uses = Counter(node.name for _, node in placed if node.name)
    counters: dict[str, Iterator[int]] = {}
    keys = []
    for graph, node in placed:
        if node.name and uses[node.name] == 1:
            keys.append(node.name)
            continue
        stem = f"{graph}/{node.name or node.op_type}" if graph else (node.name or node.op_type)
        numbers = counters.setdefault(stem, count())
        keys.append(next(key for number in numbers if uses[key := f"{stem}#{number}"] != 1))
    return keys
