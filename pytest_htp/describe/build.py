"""From a tagged graph to the record: the canonical, torch-free description that a baseline stores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir
from msgspec import convert
from msgspec.structs import asdict, replace

from pytest_htp.cycles import no_search_for_cycles
from pytest_htp.describe.cost import Costs
from pytest_htp.describe.fingerprint import Fingerprints
from pytest_htp.describe.merged import unmerged
from pytest_htp.describe.operands import operator
from pytest_htp.describe.places import Places
from pytest_htp.describe.program import Programs
from pytest_htp.describe.weights import (
    describe_initializers,
    describe_parameters,
    describe_tables,
    duplicates,
    ties,
    weights_by_module,
)
from pytest_htp.format.fold import fold_rows
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import (
    PROGRAM_VERSION,
    SCHEMA,
    AttestationRow,
    CoverageRow,
    GraphRecord,
    GraphRow,
    ModelRow,
    ModuleRow,
    OutputParityRow,
    ParityRow,
    QualityRow,
    Record,
    TensorRow,
    UntaggedRow,
    WeightsRow,
)
from pytest_htp.format.tensors import fold_tensors, list_tensors
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging

# Names that torch and onnx make up for a symbolic dimension; any other name was chosen by the user.
_GENERATED_SYMBOL = re.compile(r"\b(?:[su]\d+|zuf\d+|unk__\d+)\b")

_OFF = "parity was switched off"
_NO_ATTESTATION = AttestationRow(measured=False, reason=_OFF)
_NO_PARITY = ParityRow(measured=False, reason=_OFF)


def build_record(
    graph: GraphRecord,
    model: ModelRow,
    toolchain: Mapping[str, str],
    *,
    unobserved: Sequence[str] = (),
    quality: QualityRow | None = None,
) -> Record:
    """The record of an export, or of a file, whose graph is described."""
    return Record(
        **asdict(graph),
        schema=SCHEMA,
        program_version=PROGRAM_VERSION,
        model=model,
        toolchain=dict(sorted(toolchain.items())),
        unobserved=list(unobserved),
        quality=quality,
    )


@no_search_for_cycles()
def describe_graph(
    tagging: Tagging,
    *,
    parameters: Mapping[str, tuple[str, int, int]],
    tables: Mapping[str, ir.TensorProtocol] = MappingProxyType({}),
    real_weights: bool = True,
    named_outputs: bool = True,
    fingerprints: bool = True,
    attestation: AttestationRow = _NO_ATTESTATION,
    parity: ParityRow = _NO_PARITY,
) -> GraphRecord:
    """One tagged graph, an export's or a stage's, described.

    Args:
        tagging: the graph's.
        parameters: of the PyTorch model: each distinct one's first name → (element type name, elements, bytes per
            element).
        tables: buffers that the PyTorch model's code fills, by name.
        real_weights: False where the tensors hold no real values, which leaves their content undescribed.
        named_outputs: False where the exporter made the outputs' names up. Such a name (``linear_15``,
            ``linear_alias_1``) is nobody's contract and moves with every inserted node: outputs are numbered by
            place instead (``output.0``).
        fingerprints: False where nothing is compared with a baseline of edition 1, which has no programs.
        attestation: what was found of the tags, in the record's terms.
        parity: what was found of the values.
    """
    graph, model = tagging.graph, tagging.graph.model
    symbols = _Symbols()  # named by their first appearance, inputs before outputs
    inputs = fold_tensors([_value_row(value, value.name or "", symbols) for value in model.graph.inputs])
    results = [
        _value_row(value, (value.name or "") if named_outputs else f"output.{place}", symbols)
        for place, value in enumerate(model.graph.outputs)
    ]
    copies = duplicates(graph) if real_weights else []
    with unmerged(graph):
        places = Places(graph)
        programs = Programs(places, symbols.known)
        outputs = fold_tensors(
            [_with_origin(row, value, programs) for row, value in zip(results, model.graph.outputs, strict=True)]
        )
        tied, tied_apart = ties(graph)
        return GraphRecord(
            opset=_used_opsets(model, tagging.nodes),
            inputs=inputs,
            outputs=outputs,
            graph=GraphRow(nodes=len(tagging.nodes), functions=len(model.functions), subgraphs=len(graph.graphs) - 1),
            weights=WeightsRow(
                parameters=describe_parameters(parameters),
                initializers=describe_initializers(graph),
                kept=real_weights,
                tied=tied,
                tied_apart=tied_apart,
                duplicates=copies,
                tables=describe_tables(graph, tables),
            ),
            coverage=convert(tagging.coverage.to_dict(), CoverageRow),
            attestation=attestation,
            parity=_by_output_row(parity, model, outputs),
            modules=fold_rows(_module_rows(programs, fingerprints=fingerprints)),
            untagged=_untagged(tagging.nodes, programs),
        )


def _module_rows(programs: Programs, *, fingerprints: bool) -> list[ModuleRow]:
    places, graph = programs.places, programs.graph
    prints = Fingerprints(places) if fingerprints else None
    weights = weights_by_module(graph)
    costs = Costs(places)
    exported = {path for chain in places.chains.values() for path in chain}
    rows = []
    for path, info in graph.modules.items():
        nodes = places.own.get(path, [])
        # Which branch of a torch.cond ran depends on weights and inputs; that it is in the graph doesn't.
        called = info.executed or path in exported
        if not called and path not in weights:
            continue
        cost = costs.of(info)
        made = (value.dtype for facts in nodes for value in facts.node.outputs)
        rows.append(
            ModuleRow(
                path=path,  # fold_rows escapes it
                class_name=info.class_name,
                calls=max(info.calls, 1) if called else 0,
                nodes=len(nodes),
                ops=_operators(facts.node for facts in nodes),
                dtypes=_histogram(dtype.name for dtype in made if dtype is not None),
                evidence=_histogram(facts.evidence.value for facts in nodes),
                weights=dict(sorted(weights.get(path, {}).items())),
                fingerprint=None if prints is None else prints.of(path),
                flops=cost.flops,
                attention_flops=cost.attention_flops,
                params_bytes=info.params_bytes,
                activation_bytes=cost.activation_bytes,
                program=programs.of(path),
            )
        )
    return rows


def _histogram(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _operators(nodes: Iterable[ir.Node]) -> dict[str, int]:
    """Operator → count; operators of other domains with their domain (``com.microsoft::Gelu``)."""
    return _histogram(map(operator, nodes))


def _untagged(nodes: list[NodeFacts], programs: Programs) -> UntaggedRow:
    untagged = [facts.node for facts in nodes if facts.path is None]
    return UntaggedRow(nodes=len(untagged), ops=_operators(untagged), program=programs.of(None) or None)


def _used_opsets(model: ir.Model, nodes: list[NodeFacts]) -> dict[str, int]:
    used = {facts.node.domain for facts in nodes} | {""}
    return {domain: version for domain, version in sorted(model.opset_imports.items()) if domain in used}


class _Symbols:
    """Renames generated symbols by first appearance (``d0``, ``d1``, …); equal symbols stay equal."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def canonical(self, dim: str) -> str:
        return _GENERATED_SYMBOL.sub(lambda match: self._names.setdefault(match.group(0), f"d{len(self._names)}"), dim)

    def known(self, dim: str) -> str | None:
        """The same for a dimension inside the graph; None where no input or output has its symbols."""
        if not dim or not set(_GENERATED_SYMBOL.findall(dim)) <= self._names.keys():
            return None
        return self.canonical(dim)


def _with_origin(row: TensorRow, value: ir.Value, programs: Programs) -> TensorRow:
    """An output with the module whose node makes it and which of its values it is: outputs that swapped places
    or labels are seen by these.
    """
    facts = programs.places.makers.get(value)
    module = None if facts is None else facts.path
    return replace(row, named=row.name == value.name, module=module, value=programs.origin(value))


def _value_row(value: ir.Value, name: str, symbols: _Symbols) -> TensorRow:
    dims: list[int | str | None] | None = None
    if value.shape is not None:
        dims = []
        for dim in value.shape:
            if isinstance(dim, int):
                dims.append(dim)
            elif dim.value and dim.value.isdecimal():
                dims.append(int(dim.value))  # transformers' exporter writes constants as symbols there
            else:
                dims.append(symbols.canonical(dim.value) if dim.value else None)
    return TensorRow(name=name, dtype=value.dtype.name if value.dtype is not None else str(value.type), dims=dims)


def _by_output_row(parity: ParityRow, model: ir.Model, outputs: list[TensorRow]) -> ParityRow:
    """The parity section with one entry per row of outputs, under its name: the worst of its tensors."""
    if not parity.measured:
        return parity
    rows = {name: row.name for row in outputs for name in expand_pattern(row.name)}
    names = zip(model.graph.outputs, list_tensors(outputs), strict=True)
    row_of = {value.name: rows[tensor.name] for value, tensor in names}
    worst: dict[str, OutputParityRow] = {}
    for found in parity.outputs:
        name = row_of.get(found.name, found.name)
        known = worst.get(name, found)
        worst[name] = OutputParityRow(
            name=name,
            max_abs=max(known.max_abs, found.max_abs, key=_magnitude),
            max_rel=max(known.max_rel, found.max_rel, key=_magnitude),
            ran_as=known.ran_as if known.ran_as is not None else found.ran_as,
        )
    failed = dict.fromkeys(row_of.get(name, name) for name in parity.failed)
    return replace(parity, outputs=list(worst.values()), failed=list(failed))


def _magnitude(decade: str | None) -> float:
    return float("inf") if decade is None else float(decade)
