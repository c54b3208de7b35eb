"""Node data for Google's Model Explorer (``ai-edge-model-explorer``): one overlay of a graph's nodes.

Its format (``model_explorer.node_data_builder``): graph id → ``{"name", "results": {key: {"value"}}}`` with, for
numbers, a ``gradient``. Keys are ids of nodes and graphs as ``model-explorer-onnx`` makes them: their names, and the
place in its graph of a node without one.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_htp.cli.facts import ModuleFacts
from pytest_htp.errors import HTPUsageError
from pytest_htp.files.load import load_onnx
from pytest_htp.files.modules import read_modules
from pytest_htp.tagging.facts import graphs_in

_GRADIENT = [{"stop": 0, "bgColor": "#d7301f"}, {"stop": 0.5, "bgColor": "#fdcc8a"}, {"stop": 1, "bgColor": "#1a9850"}]


def node_data(path: str, overlay: str, facts: Mapping[str, ModuleFacts]) -> dict[str, object]:
    """The overlay of an ``.onnx`` file.

    Args:
        path: of the file, as messages and the result name it.
        overlay: which one: ``tag``, ``evidence``, ``sqnr`` or ``placement``.
        facts: raw module path → what a record of the model knows of it, for ``sqnr`` and ``placement``.

    Raises:
        HTPUsageError: the file can't be read, or nothing is known for this overlay.
    """
    file = load_onnx(path)
    tagging = read_modules(file.model).tagging
    modules = tagging.graph.modules
    graphs = [*graphs_in(file.model.graph), *(function.graph for function in file.model.functions.values())]
    ids = {node: node.name or f"<node_{place}>" for graph in graphs for place, node in enumerate(graph)}
    results: dict[str, dict[str, object]] = {}
    for node in tagging.nodes:
        value: object = None
        if overlay == "evidence":
            value = node.evidence.value
        elif node.path is not None and overlay == "tag":
            value = modules[node.path].tag
        elif node.path is not None:
            known = facts.get(node.path, ModuleFacts())
            placement = ", ".join(f"{device} {count}" for device, count in sorted(known.placement.items()))
            value = known.sqnr if overlay == "sqnr" else placement or None
        if value is not None:
            results[ids[node.node]] = {"value": value}
    if not results and tagging.nodes:
        raise HTPUsageError(
            f"{path}: nothing is known for the overlay {overlay!r}: give a baseline that holds it with --facts BASELINE"
        )
    data: dict[str, object] = {"name": overlay, "results": results}
    if overlay == "sqnr":
        data["gradient"] = _GRADIENT
    return {file.model.graph.name or "<main>": data}
