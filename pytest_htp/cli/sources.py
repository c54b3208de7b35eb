"""What ``htp show`` reads: three kinds of file, none of them trusted, as a module tree with coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_htp.cli.facts import in_words, module_facts
from pytest_htp.errors import HTPUsageError
from pytest_htp.files.proto import parse_onnx
from pytest_htp.format.fold import unfold_rows
from pytest_htp.format.given import MAX_ONNX, ONNX_START, read_given
from pytest_htp.format.load import parse_json
from pytest_htp.format.paths import nearest
from pytest_htp.format.read import record_of
from pytest_htp.format.serialize import dict_of
from pytest_htp.monitor.module_tree import ModuleRow, ModuleTree
from pytest_htp.tag import HierarchyTag
from pytest_htp.vocabulary import HTPExportData, ModuleInfo

_METADATA_PREFIX = "pytest-htp/metadata/"
_METADATA = f"{_METADATA_PREFIX}1"
# 100,000 nodes take some 30 MB of metadata.
_MAX_METADATA = 512 * 1024 * 1024
# Deeper tags than any model's are not split into the modules around them (that would take quadratic time).
_MAX_TAG_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """A file as ``htp show`` presents it; None where the file doesn't tell.

    Attributes:
        kind: what the file is, in words.
        nodes: number of ONNX nodes.
        coverage, direct_coverage: percent.
        facts: raw module path → cost, precision and placement (:func:`pytest_htp.cli.facts.module_facts`).
    """

    kind: str
    tree: ModuleTree
    nodes: int | None = None
    coverage: float | None = None
    direct_coverage: float | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read(path: str) -> Shown:
    """Read a baseline, a metadata file or an ``.onnx``. Raises HTPUsageError for anything else."""
    is_onnx = path.lower().endswith(".onnx")
    content = read_given(path, MAX_ONNX if is_onnx else _MAX_METADATA)
    if is_onnx or content.startswith(ONNX_START):
        return _read_onnx(path, content)
    value = parse_json(content, path, _MAX_METADATA)
    schema = value.get("schema") if isinstance(value, dict) else None
    try:
        if schema == _METADATA:
            return _from_metadata(value)
        if isinstance(schema, str) and schema.startswith(_METADATA_PREFIX):
            raise HTPUsageError(
                f"its schema is {schema[:60]!a}, this pytest-htp reads {_METADATA!r}: update it, or export again"
            )
        return _from_record(value)
    except HTPUsageError as error:
        raise HTPUsageError(f"{path}: {error}") from None


def _from_record(value: Any) -> Shown:
    record = record_of(value)
    modules = unfold_rows(record.modules)  # refuses hostile patterns before anything is drawn
    facts = module_facts(dict_of(record))
    rows = tuple(
        ModuleRow(
            row.path, row.class_name, row.nodes, tuple(sorted(row.evidence.items())), in_words(facts.get(row.path, {}))
        )
        for row in modules
    )
    tree = ModuleTree(rows, untagged=record.untagged.nodes)
    coverage = record.coverage
    return Shown(
        f"baseline of {record.model.class_name}", tree, record.graph.nodes, coverage.coverage,
        coverage.direct_coverage, facts,
    )  # fmt: skip


def _from_metadata(value: Mapping[str, Any]) -> Shown:
    data = HTPExportData()
    for path, module in _entries(value, "hierarchy"):
        order, calls = module.get("execution_order"), module.get("calls")
        data.hierarchy[path] = ModuleInfo(
            path=path,
            class_name=_word(module.get("class")),
            tag=_word(module.get("tag")),
            execution_order=order if isinstance(order, int) else None,
            calls=calls if isinstance(calls, int) else 0,
        )
    for key, node in _entries(value, "nodes"):
        data.node_details[key] = {"evidence": _word(node.get("evidence")) or "none"}
        if isinstance(node.get("tag"), str):
            data.tagged_nodes[key] = node["tag"]
    stats = value.get("tagging")
    stats = stats.get("tagging_stats") if isinstance(stats, Mapping) else None
    stats = stats if isinstance(stats, Mapping) else {}
    model = value.get("model")
    name = _word(model.get("class")) if isinstance(model, Mapping) else ""
    keys = ("flops", "attention_flops", "params_bytes", "activation_bytes")
    facts = {
        path: {key: module[key] for key in keys if isinstance(module.get(key), int)}
        for path, module in _entries(value, "hierarchy")
    }
    tree = ModuleTree.from_data(data)
    words = {path: in_words(known) for path, known in facts.items()}
    tree = replace(tree, rows=tuple(replace(row, facts=words.get(row.path, ())) for row in tree.rows))
    return Shown(
        f"metadata of {name or 'an export'}", tree, len(data.node_details) or None,
        _number(stats.get("coverage")), _number(stats.get("direct_coverage")), facts,
    )  # fmt: skip


def _entries(value: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    section = value.get(key)
    if not isinstance(section, Mapping) or not all(isinstance(item, Mapping) for item in section.values()):
        raise HTPUsageError(f"{key!r} must be an object of objects: export again to write the metadata anew")
    yield from section.items()


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else None


def _read_onnx(path: str, content: bytes) -> Shown:
    """Tags from node metadata; weights beside the file are never opened."""
    model = parse_onnx(path, content)
    data, evidence = HTPExportData(), Counter[str]()
    operators: dict[str, Counter[str]] = {}
    for number, node in enumerate(_all_nodes(model)):
        props = {entry.key.rpartition(".hierarchy.")[2]: entry.value for entry in node.metadata_props
                 if ".hierarchy." in entry.key}  # fmt: skip
        key, tag = str(number), props.get("tag")
        kind = props.get("evidence") or ("unknown" if tag else "none")
        evidence[kind] += 1
        data.node_details[key] = {"evidence": kind}
        if tag:
            data.tagged_nodes[key] = tag
            operators.setdefault(tag, Counter())[node.op_type] += 1
    if data.node_details and not data.tagged_nodes:
        return _without_tags(path, content)
    _add_enclosing_modules(data)
    total = len(data.node_details)
    known = total - evidence["unknown"] == total
    facts = {
        path: {"operators": dict(operators[info.tag])} for path, info in data.hierarchy.items() if info.tag in operators
    }
    return Shown(
        "tagged ONNX model",
        _with_operators(ModuleTree.from_data(data), facts),
        total,
        100 * len(data.tagged_nodes) / total if total else 100.0,
        (100 * evidence["direct"] / total if total else 100.0) if known else None,
        facts,
    )


def _with_operators(tree: ModuleTree, facts: Mapping[str, Mapping[str, Any]]) -> ModuleTree:
    """The operators of modules without others in them: which one a layer runs is what optimizers change."""
    paths = {row.path for row in tree.rows}
    outer = {nearest(path, paths) for path in paths}
    rows = (row if row.path in outer else replace(row, facts=in_words(facts.get(row.path, {}))) for row in tree.rows)
    return replace(tree, rows=tuple(rows))


def _without_tags(path: str, content: bytes) -> Shown:
    """By the scopes or names that an exporter wrote; all in one module where there are none."""
    from pytest_htp.files.load import load_onnx
    from pytest_htp.files.modules import IN_WORDS, read_modules

    read = read_modules(load_onnx(path, content).model)
    tagging, data = read.tagging, HTPExportData()
    data.hierarchy = dict(tagging.graph.modules)
    data.node_details, data.tagged_nodes = tagging.details, tagging.tags
    kind = f"ONNX model without tags; modules by {IN_WORDS[read.source]}"
    return Shown(kind, ModuleTree.from_data(data), len(tagging.nodes))


def _all_nodes(model: Any) -> Iterator[Any]:
    """Nodes of the main graph, of all bodies and of functions, without recursion."""
    pending = [model.graph, *model.functions]
    while pending:
        for node in pending.pop().node:
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending.extend(attribute.graphs)


def _add_enclosing_modules(data: HTPExportData) -> None:
    """Modules that only appear inside tags: they hold no node of their own."""
    for tag in dict.fromkeys(data.tagged_nodes.values()):
        try:
            parsed = HierarchyTag.parse(tag)
        except ValueError:  # another tool's grammar: shown as it is
            continue
        depths = range(1, parsed.depth + 1) if parsed.depth <= _MAX_TAG_DEPTH else (parsed.depth,)
        for depth in depths:
            outer = HierarchyTag(parsed.segments[:depth])
            data.hierarchy.setdefault(
                outer.module_path,
                ModuleInfo(path=outer.module_path, class_name=outer.classes[-1], tag=str(outer)),
            )
