"""Cutting a module's part out of a graph, so that it can be compiled alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import onnx_ir as ir

from pytest_htp.format.paths import lies_in
from pytest_htp.tagging.facts import bodies_in
from pytest_htp.tagging.tagger import Tagging

_DEQUANTIZE = "DequantizeLinear"


class Cutter:
    """Cuts models out of one graph at module borders.

    Args:
        tagging: of the graph; types and shapes of its values must be known where it is cut.
    """

    def __init__(self, tagging: Tagging) -> None:
        self._model = tagging.graph.model
        self._nodes = [facts for facts in tagging.nodes if facts.node.graph is self._model.graph]

    def inside(self, path: str) -> list[ir.Node]:
        """The nodes of a module and of those in it, in graph order, with the dequantization of what they read."""
        wanted = {facts.node for facts in self._nodes if facts.path is not None and lies_in(facts.path, path)}
        for node in list(wanted):
            wanted.update(producer for producer in node.predecessors() if producer.op_type == _DEQUANTIZE)
        return [facts.node for facts in self._nodes if facts.node in wanted]

    def model_of(self, nodes: list[ir.Node], like: ir.Model | None = None) -> ir.Model | None:
        """A model of these nodes alone; None where a value that it reads has no known type or shape.

        Args:
            nodes: of one graph.
            like: a model of equal :func:`structure`, whose inputs' types and shapes are taken where none are known:
                behind an operator that ONNX does not know, nothing is.
        """
        chosen = set(nodes)
        read = dict.fromkeys(value for node in nodes for value in node.inputs if value is not None)
        outside = [value for value in read if value.producer() not in chosen]
        initializers = [value for value in outside if value.const_value is not None]
        inputs = [value for value in outside if value.const_value is None]
        graph_outputs = set(self._model.graph.outputs)
        outputs = [
            value
            for node in nodes
            for value in node.outputs
            if value in graph_outputs or any(use.node not in chosen for use in value.uses()) or not value.uses()
        ]
        outputs = [value for value in outputs if value.name]
        typed = [
            other if value.dtype is None or value.shape is None else value
            for value, other in zip(inputs, inputs if like is None else like.graph.inputs, strict=True)
        ]
        if not nodes or any(value.dtype is None or value.shape is None for value in typed):
            return None
        part = ir.GraphView(
            inputs,
            outputs,
            nodes=nodes,
            initializers=initializers,
            opset_imports=self._model.opset_imports,
            name="part",
        ).clone()
        for value, known in zip(part.inputs, typed, strict=True):
            value.type, value.shape = known.type, known.shape
        return ir.Model(part, ir_version=self._model.ir_version, functions=list(self._model.functions.values()))


def signature(model: ir.Model) -> str:
    """Equal for parts that differ in names and weights alone, like repeated layers."""
    return _digest([*model.graph], lambda value: f"{value.dtype}{value.shape}")


def structure(nodes: Iterable[ir.Node]) -> str:
    """Equal for nodes that also may differ in types and shapes, but for those of weights."""
    return _digest(nodes, lambda value: "" if value.const_value is None else f"{value.dtype}{value.shape}")


def _digest(nodes: Iterable[ir.Node], kind: Callable[[ir.Value], str]) -> str:
    numbers: dict[ir.Value, int] = {}
    digest = hashlib.sha256()

    def words(values: Iterable[ir.Value | None]) -> list[str]:
        return ["" if value is None else f"{numbers.setdefault(value, len(numbers))}:{kind(value)}" for value in values]

    for node in nodes:
        attributes = sorted(f"{name}={attribute.value}" for name, attribute in node.attributes.items())
        digest.update(repr((node.domain, node.op_type, attributes, words(node.inputs), words(node.outputs))).encode())
    return digest.hexdigest()


def save(model: ir.Model, path: Path) -> None:
    """Write a cut model; weights beside it, so that no size is too large."""
    ir.save(model, path, external_data=f"{path.name}.data")


def has_bodies(nodes: Iterable[ir.Node]) -> bool:
    """Whether control flow is among them: its bodies read values of the graph around it."""
    return any(any(bodies_in(node)) for node in nodes)
