"""Which module each node of a file belongs to: by tags, else dynamo's scopes, else TorchScript's node names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import onnx_ir as ir

from pytest_htp.capture.scopes import read_stack
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import join_path, last_segment, nearest, owner_of, parent_of, relative_to
from pytest_htp.tag import HierarchyTag, segment
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts, NodeFacts, graphs_in
from pytest_htp.tagging.passes.dataflow import DataFlowPass
from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.vocabulary import ModuleInfo

TAGS, SCOPES, NAMES, ALONE = "tags", "scopes", "names", "alone"
IN_WORDS = {
    TAGS: "embedded tags",
    SCOPES: "scopes of torch.onnx.export(dynamo=True)",
    NAMES: "node names of the TorchScript exporter",
    ALONE: "nothing: it is one module, the root",
}
# What a module is called whose class the file doesn't say.
UNKNOWN_CLASS = "Module"
_TAG_SUFFIX = ".hierarchy.tag"
_CALL_SUFFIX = re.compile(r"@\d+$")
_PSEUDO_SCOPE = "_empty_nn_module_stack_from_metadata_hook"
_STRICT_ROOT = "_export_root"
# /encoder/layer.0/attention/self/MatMul_1: the operator's own name ends it
_OUTPUT = re.compile(r"_output_\d+$")
# ``(path, class)`` of each module around a node, root first
_Chain = tuple[tuple[str, str], ...]
_NODE_NAME = re.compile(r"/((?:[^/\s]+/)*)([A-Za-z]\w*)")


@dataclass(frozen=True)
class ReadModules:
    """A file's nodes by module.

    Attributes:
        source: what says so: ``tags``, ``scopes``, ``names``, or ``alone`` where nothing does.
        note: why a stronger source was not used, or "".
    """

    tagging: Tagging
    source: str
    note: str = ""


def read_modules(model: ir.Model) -> ReadModules:
    """The strongest source that a file has. What is left undecided by it is placed by the data flow."""
    note = ""
    namespace = namespace_of(model)
    if namespace is not None:
        try:
            return ReadModules(read_tagging(model, namespace), TAGS)
        except HTPUsageError as error:
            note = f"its tags ({namespace}{_TAG_SUFFIX}) are not used: {error}"
    modules: dict[str, ModuleInfo] = {}
    graph = GraphFacts(model, modules)
    found: dict[str, _Chain] = {}
    source = ALONE
    for candidate, read in ((SCOPES, _scope), (NAMES, _place_in_name)):
        found = {facts.key: around for facts in graph.nodes if (around := read(facts.node)) is not None}
        if any(len(around) > 1 for around in found.values()):
            source = candidate
            break
    else:
        modules.update(module_table({"": ""}))
        return _as_one_module(graph, note)
    modules.update(_module_table(found.values()))
    for facts in graph.nodes:
        if facts.key in found:
            facts.decide(Evidence.DIRECT, found[facts.key][-1][0], source)
    _place_by_parameters(graph, modules)
    give_parameters(graph)
    DataFlowPass().run(graph)
    return ReadModules(Tagging(graph), source, note)


def _place_by_parameters(graph: GraphFacts, modules: dict[str, ModuleInfo]) -> None:
    """Nodes that a tool inserted without a name are in the module whose parameters they read (a ``MatMul`` and an
    ``Add`` that became a ``Gemm``), also where no node of that module is left. One that reads nothing else only hands
    the parameter on: TorchScript's ``Identity`` of a weight that several modules share the values of.
    """
    found: list[tuple[NodeFacts, str]] = []
    for facts in graph.undecided():
        values = [value for value in facts.node.inputs if value is not None]
        read = [value.name or "" for value in values if value.is_initializer()]
        if len(read) == len(values):
            continue
        owners = {owner_of(name) for name in read if "." in name and not _generated(name) and "/" not in name}
        if len(owners) == 1 and parent_of(owner := owners.pop()) in modules and _is_path(owner):
            found.append((facts, owner))
    missing = {owner: "" for _, owner in found if owner not in modules}
    if missing:
        modules.update(module_table({path: info.class_name for path, info in modules.items()} | missing))
    for facts, owner in found:
        facts.decide(Evidence.INFERRED, owner, "parameters")


def as_one_module(model: ir.Model) -> ReadModules:
    """Every node in the root, whatever its file says."""
    return _as_one_module(GraphFacts(model, module_table({"": ""})))


def _as_one_module(graph: GraphFacts, note: str = "") -> ReadModules:
    for facts in graph.nodes:
        facts.decide(Evidence.INFERRED, "", ALONE)
    give_parameters(graph)
    return ReadModules(Tagging(graph), ALONE, note)


def give_parameters(graph: GraphFacts) -> None:
    """Initializers called after a module's attribute are that module's parameters. Integers that are not (``shape``)
    are a part of the program: nothing trains them.
    """
    graph.shared_parameters = {
        name: (name,)
        for inner in graph.graphs
        for name, value in inner.initializers.items()
        if ("." in name or (not _generated(name) and value.dtype is not None and value.dtype.is_floating_point()))
        and graph.owner_of(name) is not None
    }


def _generated(name: str) -> bool:
    return re.fullmatch(r"val_\d+|_?\w*::.*|\d+|.*_output_\d+", name) is not None


def by_weights(tagging: Tagging) -> dict[str, NodeFacts]:
    """Weight name → the first node that reads it: where in a model without modules a node is."""
    places: dict[str, NodeFacts] = {}
    for facts in tagging.nodes:
        for value in facts.node.inputs:
            if value is not None and value.is_initializer() and value.name and "." in value.name:
                places.setdefault(value.name, facts)
    return places


def namespace_of(model: ir.Model) -> str | None:
    """Of the tags that are embedded (``htp`` of ``htp.hierarchy.tag``), None where there are none."""
    for graph in (*graphs_in(model.graph), *model.functions.values()):
        for node in graph:
            for key in node.metadata_props:
                if key.endswith(_TAG_SUFFIX):
                    return str(key).removesuffix(_TAG_SUFFIX)
    return None


def _is_path(path: str) -> bool:
    return not path or all(path.split("."))


def _scope(node: ir.Node) -> _Chain | None:
    """``(path, class)`` of the modules around a node, root first; None where no module is named."""
    stack = read_stack(node.metadata_props)
    return None if stack is None else _chain_of(stack.frames)


@lru_cache(maxsize=65_536)  # a module's nodes have the same
def _chain_of(recorded: tuple[tuple[str, str], ...]) -> _Chain | None:
    frames = []
    for path, kind in recorded:
        if _PSEUDO_SCOPE in (path, kind) or path.startswith(_PSEUDO_SCOPE):
            return None
        path = _CALL_SUFFIX.sub("", "" if path == _STRICT_ROOT else path.removeprefix(f"{_STRICT_ROOT}."))
        if not _is_path(path):
            return None
        frames.append((path, last_segment(kind)))
    return tuple(frames) or None


def _place_in_name(node: ir.Node) -> _Chain | None:
    """The same from a node's name, else, should a tool have renamed it, from that of the value it makes."""
    made = (_OUTPUT.sub("", value.name or "") for value in node.outputs)
    for name in chain((node.name or "",), made):
        match = _NODE_NAME.fullmatch(name)
        if match is not None and match[2].startswith(node.op_type):
            return _around(match[1])
    return None


@lru_cache(maxsize=65_536)
def _around(place: str) -> _Chain | None:
    """Modules around what is called ``/place/MatMul``. A child of a called ``Sequential`` repeats its name:
    ``/a/a.0/Conv``.
    """
    paths = [""]
    around, last = "", ""
    for part in place.split("/")[:-1]:
        if not last or not part.startswith(f"{last}."):
            around = paths[-1]
        paths.append(join_path(around, part))
        last = part
    return tuple((path, "") for path in paths) if all(map(_is_path, paths)) else None


def _module_table(chains: Iterable[_Chain]) -> dict[str, ModuleInfo]:
    classes: dict[str, str] = {"": ""}
    for frames in dict.fromkeys(chains):
        for path, kind in frames:
            classes[path] = classes.get(path) or kind
    return module_table(classes)


def module_table(classes: Mapping[str, str]) -> dict[str, ModuleInfo]:
    """Modules by path, root first, each called once; an empty class is not known."""
    table: dict[str, ModuleInfo] = {}
    for path in sorted(classes, key=lambda path: path.count(".") + bool(path)):
        kind = classes[path] or UNKNOWN_CLASS
        tag = _tag_inside(table, path, kind) if path else str(HierarchyTag(((kind, ""),)))
        table[path] = ModuleInfo(path, kind, tag, calls=1)
    return table


def _tag_inside(table: Mapping[str, ModuleInfo], path: str, kind: str) -> str:
    outer = nearest(path, table) or ""
    return table[outer].tag + segment(kind, relative_to(path, outer))
