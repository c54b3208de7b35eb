"""From a compiler's name to the node of the graph it was given: compilers keep names and add to them.

ONNX Runtime names quantization nodes that it adds after their tensor (``where_q``,
``mul_DequantizeLinear/duplicated``), OpenVINO calls a node after the tensor it makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.derived import source_of


class NodeNames:
    """Finds nodes of a graph by the names that a compiler gives them or what it makes of them."""

    def __init__(self, tagging: Tagging) -> None:
        self._nodes: dict[str, NodeFacts] = {}
        self._readers: dict[str, NodeFacts] = {}
        for facts in tagging.nodes:
            for output in facts.node.outputs:
                if output.name:
                    self._nodes.setdefault(output.name, facts)
            for value in facts.node.inputs:
                if value is not None and value.name and value.producer() is None:
                    self._readers.setdefault(value.name, facts)
        for facts in tagging.nodes:  # a node's own name wins over a tensor's
            if facts.node.name:
                self._nodes[facts.node.name] = facts

    def node(self, name: str) -> NodeFacts | None:
        """The node whose name, or a tensor's of it, ``name`` is or was made of."""
        return _extended(name, self._nodes)

    def reader(self, name: str) -> NodeFacts | None:
        """The first node that reads the initializer or graph input whose name ``name`` is or was made of."""
        return _extended(name, self._readers)


def _extended(name: str, known: Mapping[str, NodeFacts]) -> NodeFacts | None:
    found = source_of(name, known)
    return None if found is None else known[found]
