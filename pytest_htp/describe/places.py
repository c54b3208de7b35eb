"""Where the nodes of a tagged graph are: by module, and which module is called on the way to which."""

from __future__ import annotations

from itertools import pairwise

import onnx_ir as ir

from pytest_htp.tagging.facts import GraphFacts, NodeFacts


class Places:
    """Tables of one tagged graph that describing it asks for everywhere. Made once; tags must not change after.

    Attributes:
        makers: value → the node that makes it.
        own: module path (None: no module) → its own nodes in graph order.
        chains: path of a module with own nodes → the modules on its call path, root first, itself last.
        below: module path → path of a module inside of it that has own nodes → which module it calls on the way there.
    """

    def __init__(self, graph: GraphFacts) -> None:
        self.graph = graph
        self.makers: dict[ir.Value | None, NodeFacts] = {}
        self.own: dict[str | None, list[NodeFacts]] = {}
        for facts in graph.nodes:
            self.own.setdefault(facts.path, []).append(facts)
            for value in facts.node.outputs:
                self.makers[value] = facts
        self.chains = {path: graph.call_path(path) for path in self.own if path is not None}
        self.below: dict[str | None, dict[str | None, str]] = {}
        for path, chain in self.chains.items():
            for outer, inner in pairwise(chain):
                self.below.setdefault(outer, {})[path] = inner
