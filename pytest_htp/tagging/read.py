"""A tagging from a file alone: what embedded tags say, without the model and without the export."""

from __future__ import annotations

import onnx_ir as ir

from pytest_htp.errors import HTPUsageError
from pytest_htp.tag import HierarchyTag, segment
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.embed import SUFFIXES
from pytest_htp.tagging.facts import GraphFacts, NodeFacts
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.vocabulary import ModuleInfo

RULE = "embedded"


def read_tagging(model: ir.Model, namespace: str = "htp") -> Tagging:
    """The tagging that :func:`pytest_htp.tagging.embed.embed_tags` wrote into ``model``.

    Known afterwards: every module on the path of some tag (as called at least once), the tag and evidence of every
    node, and which initializers are parameters of these modules (by their names). A file does not say which further
    modules there are, which call of a module a node belongs to, or the modules that a ``fused`` node was made of:
    its ``origins`` are its own module alone. A node without tag or with the evidence ``none`` is undecided.

    Raises:
        HTPUsageError: a tag or an evidence that can't be read; names the node.
    """
    tag_key, _, evidence_key = (f"{namespace}.{suffix}" for suffix in SUFFIXES)
    modules: dict[str, ModuleInfo] = {}
    graph = GraphFacts(model, modules)
    for facts in graph.nodes:
        text = facts.node.metadata_props.get(tag_key)
        if text is None:
            continue
        tag = _parsed(text, facts)
        enclosing = ""
        for path, (class_name, relative) in zip(tag.module_paths, tag.segments, strict=True):
            enclosing += segment(class_name, relative)
            modules.setdefault(path, ModuleInfo(path, class_name, enclosing, calls=1))
        if (evidence := _evidence(facts, evidence_key)) is not Evidence.NONE:
            facts.decide(evidence, tag.module_path, RULE)
    names = [name for inner in graph.graphs for name in inner.initializers]
    # A name without a dot may be a parameter of the root; far more often it is one that the exporter made up (val_12).
    owned = {name: (name,) for name in names if "." in name and graph.owner_of(name) is not None}
    graph.shared_parameters = owned
    return Tagging(graph)


def _parsed(text: str, facts: NodeFacts) -> HierarchyTag:
    try:
        return HierarchyTag.parse(text)
    except ValueError as error:
        raise HTPUsageError(f"node {facts.key!r} has a tag that can't be read: {error}") from error


def _evidence(facts: NodeFacts, key: str) -> Evidence:
    """Without a word about evidence (a tool that writes tags only) a tag counts as inferred."""
    text = facts.node.metadata_props.get(key, Evidence.INFERRED.value)
    try:
        return Evidence(text)
    except ValueError:
        known = ", ".join(Evidence)
        raise HTPUsageError(f"node {facts.key!r} has the evidence {text!r}; known are {known}") from None
