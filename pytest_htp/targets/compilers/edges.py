"""What nodes that an optimizer made read and make, where their names say nothing: ``gemm_input_reshape_token_2``.

A compiled graph can't be asked for its edges. ONNX Runtime writes the graph that it optimized for its CPU, in which
what it does before providers are asked has the same names; Qualcomm's provider writes its own as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec
import onnx
import onnxruntime as ort

from pytest_htp.tagging.reached import reached
from pytest_htp.targets.derived import source_of
from pytest_htp.targets.messages import CompiledNode

_TOKEN = re.compile(r"_token_([0-9]+)$")
MAX_BYTES = 2**31
"""Of a graph with its weights that is optimized once more: its optimized weights are written to disk meanwhile."""


@dataclass
class Edges:
    """Tensors that nodes read and make, by names."""

    reads: dict[str, list[str]] = field(default_factory=dict)
    makes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, node: str, reads: Iterable[str], makes: Iterable[str]) -> None:
        """Note a node, or more of one: two graphs may have it."""
        self.reads.setdefault(node, []).extend(reads)
        self.makes.setdefault(node, []).extend(makes)


def with_origins(
    compiled: Sequence[CompiledNode], graph: onnx.GraphProto, path: Path, dumps: Path
) -> list[CompiledNode]:
    """The same nodes, those with a name that says nothing with a further one: of a tensor of the graph that they make,
    else of a node that reads what they make, else of one that makes what they read.

    Args:
        compiled: as the compiler has them.
        graph: that was compiled.
        path: its file.
        dumps: folder with what Qualcomm's provider wrote, if anything.
    """
    known = _names_of(graph)
    unclear = {name for node in compiled for name in node.names if name and source_of(name, known) is None}
    if not unclear:
        return list(compiled)
    copies = _copies(compiled, known)
    edges = Edges()
    for file in dumps.glob("*.json"):
        _add_dump(edges, file)
    _add_optimized(edges, path)
    origins = {name: found for name in unclear if (found := copies.get(name) or _origin(name, edges, known))}
    return [
        msgspec.structs.replace(node, names=[*node.names, *(origins[name] for name in node.names if name in origins)])
        for node in compiled
    ]


def _copies(compiled: Sequence[CompiledNode], known: Container[str]) -> dict[str, str]:
    """Names of dequantizations that were copied with the node they are for, ``DequantizeLinear_token_35`` with
    ``node_Conv_161_token_37``: the number between is that of the tensor.
    """
    names = {name for node in compiled for name in node.names}
    numbered = {int(match[1]): name for name in names if (match := _TOKEN.search(name))}
    copies = {}
    for node in compiled:
        for name in node.names:
            match = _TOKEN.search(name)
            with_it = numbered.get(int(match[1]) + 2) if match and node.op_type == "DequantizeLinear" else None
            if with_it is not None and (source := source_of(with_it, known)) is not None:
                copies[name] = source
    return copies


def _names_of(graph: onnx.GraphProto) -> set[str]:
    """Names of its nodes, those in bodies of control flow included, and of all tensors."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        names |= {name for name in (node.name, *node.output) if name}
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                names |= _names_of(body)
    return names


def _add_optimized(edges: Edges, path: Path) -> None:
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]  # with its weights
    if sum(file.stat().st_size for file in files) > MAX_BYTES:
        return
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = "optimized.onnx"
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.bin")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
        optimized = onnx.load("optimized.onnx", load_external_data=False)
    except Exception:  # what the CPU can't run
        return
    for node in optimized.graph.node:
        edges.add(node.name, node.input, node.output)


def _add_dump(edges: Edges, file: Path) -> None:
    nodes = json.loads(file.read_text("utf-8", "replace")).get("graph", {}).get("nodes", {})
    for name, node in nodes.items():
        edges.add(name, node["input_names"], node["output_names"])


def _origin(name: str, edges: Edges, known: Container[str]) -> str | None:
    """The nearest name that says something, down the graph and then up."""
    readers: dict[str, list[str]] = {}
    for node, tensors in edges.reads.items():
        for tensor in tensors:
            readers.setdefault(tensor, []).append(node)
    makers = {tensor: node for node, tensors in edges.makes.items() for tensor in tensors}

    def down(node: str) -> list[str]:
        return [reader for tensor in _made(node, edges) for reader in readers.get(tensor, ())]

    def up(node: str) -> list[str]:
        return [makers[tensor] for tensor in edges.reads.get(node, ()) if tensor in makers]

    for step in (down, up):
        for node in chain([name], reached([name], step)):
            for tensor in _made(node, edges):
                if tensor in known:
                    return tensor
            for other in step(node):
                if (source := source_of(other, known)) is not None:
                    return source
    return None


def _made(node: str, edges: Edges) -> list[str]:
    """Of a node that Qualcomm's provider joined with another, the tensor is left, which ONNX Runtime named after it."""
    return edges.makes.get(node) or [f"{node}_out0"]
