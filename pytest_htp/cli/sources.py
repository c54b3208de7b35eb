"""What ``htp show`` reads: three kinds of file, none of them trusted, as a module tree with coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from msgspec import convert

from pytest_htp.cli.facts import COSTS, ModuleFacts, in_words, module_facts
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import unfold_rows
from pytest_htp.format.given import MAX_ONNX, ONNX_START, read_given
from pytest_htp.format.load import parse_json
from pytest_htp.format.paths import nearest
from pytest_htp.format.read import record_of
from pytest_htp.monitor.module_tree import ModuleRow, ModuleTree
from pytest_htp.vocabulary import HTPExportData, ModuleInfo

_METADATA_PREFIX = "pytest-htp/metadata/"
_METADATA = f"{_METADATA_PREFIX}1"
# 100,000 nodes take some 30 MB of metadata.
_MAX_METADATA = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """A file as ``htp show`` presents it; None where the file doesn't say.

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
    facts: Mapping[str, ModuleFacts] = field(default_factory=dict)


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


def _from_record(value: object) -> Shown:
    record = record_of(value)
    modules = unfold_rows(record.modules)  # refuses hostile patterns before anything is drawn
    facts = module_facts(record)
    rows = tuple(
        ModuleRow(
            row.path,
            row.class_name,
            row.nodes,
            tuple(sorted(row.evidence.items())),
            in_words(facts.get(row.path)),
        )
        for row in modules
    )
    tree = ModuleTree(rows, untagged=record.untagged.nodes)
    coverage = record.coverage
    return Shown(
        f"baseline of {record.model.class_name}", tree, record.graph.nodes, coverage.coverage,
        coverage.direct_coverage, facts,
    )  # fmt: skip


def _from_metadata(value: Mapping[str, object]) -> Shown:
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
        if tag := _word(node.get("tag")):
            data.tagged_nodes[key] = tag
    stats = value.get("tagging")
    stats = stats.get("tagging_stats") if isinstance(stats, Mapping) else None
    stats = stats if isinstance(stats, Mapping) else {}
    model = value.get("model")
    name = _word(model.get("class")) if isinstance(model, Mapping) else ""
    facts = {
        path: convert({key: module[key] for key in COSTS if isinstance(module.get(key), int)}, ModuleFacts)
        for path, module in _entries(value, "hierarchy")
    }
    tree = ModuleTree.from_data(data)
    words = {path: in_words(known) for path, known in facts.items()}
    tree = replace(tree, rows=tuple(replace(row, facts=words.get(row.path, ())) for row in tree.rows))
    return Shown(
        f"metadata of {name or 'an export'}", tree, len(data.node_details) or None,
        _number(stats.get("coverage")), _number(stats.get("direct_coverage")), facts,
    )  # fmt: skip


def _entries(value: Mapping[str, object], key: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    section = value.get(key)
    if not isinstance(section, Mapping) or not all(isinstance(item, Mapping) for item in section.values()):
        raise HTPUsageError(f"{key!r} must be an object of objects: export again to write the metadata anew")
    yield from section.items()


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else None


def _read_onnx(path: str, content: bytes) -> Shown:
    """By tags, else by the scopes or names that an exporter wrote, else as one module; weights are never opened."""
    from pytest_htp.files.load import load_onnx  # onnx and numpy: 0.5 s
    from pytest_htp.files.modules import IN_WORDS, TAGS, read_modules

    read = read_modules(load_onnx(path, content).model)
    tagging, coverage = read.tagging, read.tagging.coverage
    data = HTPExportData(hierarchy=dict(tagging.graph.modules), node_details=tagging.details, tagged_nodes=tagging.tags)
    tree = ModuleTree.from_data(data)
    if read.source != TAGS:
        note = f" ({read.note})" if read.note else ""
        return Shown(f"ONNX model without tags; modules by {IN_WORDS[read.source]}{note}", tree, coverage.total_nodes)
    operators: dict[str, Counter[str]] = {}
    for node in tagging.nodes:
        if node.path is not None:
            operators.setdefault(node.path, Counter())[node.node.op_type] += 1
    facts = {path: ModuleFacts(operators=counts) for path, counts in operators.items()}
    return Shown(
        "tagged ONNX model", _with_operators(tree, facts), coverage.total_nodes, coverage.coverage,
        coverage.direct_coverage, facts,
    )  # fmt: skip


def _with_operators(tree: ModuleTree, facts: Mapping[str, ModuleFacts]) -> ModuleTree:
    """The operators of modules without others in them: which one a layer runs is what optimizers change."""
    paths = {row.path for row in tree.rows}
    outer = {nearest(path, paths) for path in paths}
    rows = (row if row.path in outer else replace(row, facts=in_words(facts.get(row.path))) for row in tree.rows)
    return replace(tree, rows=tuple(rows))
