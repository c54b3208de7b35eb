"""Marks: which FX nodes an ONNX node came from, carried along while the graph is rewritten.

A mark is a comma-separated list of indices in the node's ``metadata_props`` (``pkg.htp.origin``), put there right after
translation, when each node has exactly one origin. Whatever is done to the graph later, in the end some value is
replaced by another one, and :class:`MarkKeeper` looks at each replacement of ``old`` by ``new``:

1. ``old`` is computed from ``new``: a step without effect was left out (``Identity``, a pair of transposes);
   nothing came together, marks stay;
2. the node that makes ``new`` has no mark: it was made for this purpose and inherits the mark of the node
   that made ``old``, and so do the unmarked nodes it computes from: they are made together;
3. it has one: from now on it stands for both, and its mark becomes their union. Where the operators differ
   (one of several operations packed into one) that goes for all nodes made together with it; where they are
   the same, a duplicate was eliminated, which concerns this node alone.

An empty mark says "translated, but from no known FX node"; such a node neither inherits nor passes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary, ref

import onnx_ir as ir

ORIGIN_KEY = "pkg.htp.origin"

# How far back "computed from" is looked for. Steps that get left out are a few nodes long.
_MAX_CHAIN = 64


def marks_of(node: ir.Node) -> tuple[int, ...]:
    """The node's marks as sorted indices; empty where it has none or where the text is not ours."""
    text = node.metadata_props.get(ORIGIN_KEY, "")
    return tuple(int(part) for part in text.split(",") if part.isascii() and part.isdigit())


def join_marks(first: str, second: str) -> str:
    """Union of two marks, in numeric order."""
    if first == second:
        return first
    return ",".join(map(str, sorted({int(part) for part in f"{first},{second}".split(",") if part})))


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the model: main graph, bodies of control flow, model-local functions."""
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def clear_marks(model: ir.Model) -> None:
    """Remove our marks: they are scaffolding of one export and never reach a saved file."""
    for node in all_nodes(model):
        node.metadata_props.pop(ORIGIN_KEY, None)


def surviving(matched: Sequence[ir.Node]) -> list[ir.Node]:
    """Of the nodes that a rewrite replaced, those that still serve others: nothing was made out of them.

    A mask that all layers share may be matched with one layer's attention; it stays where it is, for the other layers.
    """
    gone: set[ir.Node] = set()
    for node in [node for _ in matched for node in matched]:
        values = node.outputs
        if not any(value.is_graph_output() or any(use.node not in gone for use in value.uses()) for value in values):
            gone.add(node)
    return [node for node in matched if node not in gone]


@contextmanager
def without_marks(nodes: Iterable[ir.Node]) -> Iterator[None]:
    """The nodes' marks are out of sight for a while."""
    hidden = [(node, node.metadata_props.pop(ORIGIN_KEY)) for node in nodes if ORIGIN_KEY in node.metadata_props]
    try:
        yield
    finally:
        for node, mark in hidden:
            node.metadata_props[ORIGIN_KEY] = mark


class MarkKeeper:
    """Keeps marks right while values replace one another."""

    def __init__(self) -> None:
        self._made_together: WeakKeyDictionary[ir.Node, list[ref[ir.Node]]] = WeakKeyDictionary()

    def replaced(self, old: ir.Value, new: ir.Value) -> None:
        """``new`` is about to take the place of ``old``."""
        before, after = old.producer(), new.producer()
        mark = before.metadata_props.get(ORIGIN_KEY) if before is not None else None
        if before is None or after is None or after is before or not mark:
            return
        if ORIGIN_KEY not in after.metadata_props:
            self._inherit(after, mark)
        elif not _feeds(after, before):
            packed = self._others(after) if after.op_identifier() != before.op_identifier() else []
            for node in (after, *packed):
                kept = node.metadata_props.get(ORIGIN_KEY)
                if kept:
                    node.metadata_props[ORIGIN_KEY] = join_marks(kept, mark)

    def _inherit(self, made: ir.Node, mark: str) -> None:
        together = [made]
        made.metadata_props[ORIGIN_KEY] = mark
        for node in together:
            for source in node.predecessors():
                if ORIGIN_KEY not in source.metadata_props:
                    source.metadata_props[ORIGIN_KEY] = mark
                    together.append(source)
        references = [ref(node) for node in together]
        for node in together:
            self._made_together[node] = references

    def _others(self, node: ir.Node) -> list[ir.Node]:
        others = (reference() for reference in self._made_together.get(node, ()))
        return [other for other in others if other is not None and other is not node]


def _feeds(source: ir.Node, node: ir.Node) -> bool:
    """Whether ``node`` computes from ``source``, within the last few dozen nodes."""
    seen = {node}
    todo = [node]
    for current in todo:
        for producer in current.predecessors():
            if producer is source:
                return True
            if producer not in seen and len(seen) < _MAX_CHAIN:
                seen.add(producer)
                todo.append(producer)
    return False
