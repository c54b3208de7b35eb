"""Which nodes a message of onnx or ONNX Runtime is about, and whose they are: users know modules, no node names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx_ir as ir

from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging

_WORDS = re.compile(r"[^\s'\"(),]+")
_UNKNOWN = re.compile(r"(\S+)\(-?\d+\) is not a registered")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


def node_named_in(text: str, tagging: Tagging) -> NodeFacts | None:
    """The node that a message names, itself or by a value it makes or reads; the innermost of nested ones.

    Both runtimes name nodes somewhere in a sentence: ``(op_type:Add, node name: node_add): …``,
    ``Node (node_add) Op (Add) …``, ``Name: node_add OpType: Add``, ``'y' has been used as output names``. Of an
    operator it does not know, ONNX Runtime gives only the type: that is the first such node then.
    """
    by_name = {facts.node.name: facts for facts in tagging.nodes if facts.node.name}
    found = [by_name[word] for word in map(_stripped, _WORDS.findall(text)) if word in by_name]
    if found:
        return found[-1]
    unknown = _UNKNOWN.search(text)
    if unknown:
        domain, _, operator = unknown[1].rpartition(":")
        return next((f for f in tagging.nodes if (f.node.domain, f.node.op_type) == (domain, operator)), None)
    quoted = {left or right for left, right in _QUOTED.findall(text)}
    return next((facts for facts in tagging.nodes if quoted & set(_value_names(facts.node))), None)


def described(facts: NodeFacts, tagging: Tagging) -> str:
    """``node node_add (Add) of module encoder.layer.0 (BertLayer)``."""
    node = f"node {facts.key} ({facts.node.op_type})"
    if facts.path is None:
        return f"{node}, which no module is known for"
    return f"{node} of {module_described(facts.path, tagging)}"


def module_described(path: str, tagging: Tagging) -> str:
    """``module encoder.layer.0 (BertLayer)``, ``the root module (BertModel)``."""
    class_name = tagging.graph.modules[path].class_name
    return f"module {path} ({class_name})" if path else f"the root module ({class_name})"


def _stripped(word: str) -> str:
    return word.rstrip(":.;")


def _value_names(node: ir.Node) -> Iterator[str]:
    for value in (*node.outputs, *node.inputs):
        if value is not None and value.name:
            yield value.name
