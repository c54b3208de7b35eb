"""Write tags into a model's node metadata, and read them back.

Tags live in ``metadata_props``: a node *attribute* would make onnx.checker and onnxruntime reject the model.
"""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.capture.marks import all_nodes
from pytest_htp.tag import HierarchyTag
from pytest_htp.tagging.tagger import Tagging

SUFFIXES = ("hierarchy.tag", "hierarchy.depth", "hierarchy.evidence")


def embed_tags(tagging: Tagging, namespace: str) -> None:
    """Write ``<namespace>.hierarchy.tag/.depth/.evidence``; values are replaced, never doubled.

    An untagged node gets its evidence (``none``) and neither tag nor depth.
    """
    tag_key, depth_key, evidence_key = (f"{namespace}.{suffix}" for suffix in SUFFIXES)
    depths = {path: str(HierarchyTag.parse(info.tag).depth) for path, info in tagging.graph.modules.items()}
    for facts in tagging.nodes:
        props = facts.node.metadata_props
        props[evidence_key] = facts.evidence.value
        if facts.path is None:
            props.pop(tag_key, None)
            props.pop(depth_key, None)
        else:
            props[tag_key] = tagging.graph.modules[facts.path].tag
            props[depth_key] = depths[facts.path]


def strip_tags(model: ir.Model, namespace: str) -> None:
    """Remove every tag of a namespace, from wherever nodes live."""
    for node in all_nodes(model):
        for suffix in SUFFIXES:
            node.metadata_props.pop(f"{namespace}.{suffix}", None)
