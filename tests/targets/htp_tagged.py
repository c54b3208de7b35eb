"""Small tagged graphs, made without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from pytest_htp.tag import HierarchyTag
from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.tagger import Tagging

Step = tuple[str, str, dict[str, Any]]
"""Module path, operator, and what differs from the default: ``inputs`` (further ones, as arrays), ``domain``,
``outputs`` (how many) and attributes."""


def chain(
    steps: Sequence[Step],
    shape: Sequence[int | str] = (1, 8, 16, 16),
    dtype: int = TensorProto.FLOAT,
    opset: int = 20,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A graph in which each step reads what the one before made."""
    nodes, initializers = [], []
    value = "x"
    for number, (path, operator, given) in enumerate(steps):
        attributes = dict(given)
        names = [value]
        for position, array in enumerate(attributes.pop("inputs", ())):
            name = f"w{number}_{position}"
            initializers.append(numpy_helper.from_array(np.asarray(array), name))
            names.append(name)
        domain, outputs = attributes.pop("domain", ""), attributes.pop("outputs", 1)
        value = f"v{number}"
        made = [value, *(f"v{number}_{k}" for k in range(1, outputs))]
        node = helper.make_node(operator, names, made, name=f"n{number}", domain=domain, **attributes)
        segments = [
            ("Net", ""),
            *((part.capitalize() if part.isalpha() else "Layer", part) for part in path.split(".")),
        ]
        node.metadata_props.add(key="htp.hierarchy.tag", value=str(HierarchyTag(tuple(segments))))
        node.metadata_props.add(key="htp.hierarchy.evidence", value="direct")
        nodes.append(node)
    given_input = helper.make_tensor_value_info("x", dtype, list(shape))
    graph = helper.make_graph(nodes, "g", [given_input], [onnx.ValueInfoProto(name=value)], initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=imports, ir_version=10))


def written(model: onnx.ModelProto, folder: Path) -> tuple[Path, Tagging]:
    """The graph as a file, and its tagging."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path, read_tagging(ir.load(path))
