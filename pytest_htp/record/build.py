"""From a tagged graph to the record: the canonical, torch-free description that a baseline stores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from pytest_htp.record import SCHEMA
from pytest_htp.record.fingerprint import Fingerprints
from pytest_htp.record.fold import escape_path, fold_rows
from pytest_htp.record.weights import (
    describe_initializers,
    describe_parameters,
    duplicates,
    tied_groups,
    weights_by_module,
)
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging

# Names that torch and onnx make up for a symbolic dimension; any other name was chosen by the user.
_GENERATED_SYMBOL = re.compile(r"\b(?:[su]\d+|zuf\d+|unk__\d+)\b")


@dataclass(frozen=True)
class RecordSource:
    """Everything a record is made of.

    ``parameters`` maps each distinct parameter's first name to (element type name, elements, bytes per
    element). ``attestation`` and ``parity`` are JSON-able and already canonical. ``real_weights`` is False
    where the tensors hold no real values, which leaves the fields that describe content unmeasured.
    """

    tagging: Tagging
    model_class: str
    exporter: str
    total_parameters: int
    parameters: Mapping[str, tuple[str, int, int]]
    toolchain: Mapping[str, str]
    real_weights: bool = True
    attestation: Mapping[str, Any] = field(default_factory=lambda: not_measured("parity was switched off"))
    parity: Mapping[str, Any] = field(default_factory=lambda: not_measured("parity was switched off"))


def not_measured(reason: str) -> dict[str, Any]:
    """What stands in a record for something that was not measured."""
    return {"measured": False, "reason": reason}


def build_record(source: RecordSource) -> dict[str, Any]:
    """The record as a JSON-able dict; its shape is ``schemas/baseline.schema.json``."""
    tagging, graph = source.tagging, source.tagging.graph
    model = graph.model
    symbols = _Symbols()
    executed = [info for info in graph.modules.values() if info.executed]
    return {
        "schema": SCHEMA,
        "model": {
            "class": source.model_class,
            "exporter": source.exporter,
            "modules": len(graph.modules),
            "executed": len(executed),
            "parameters": source.total_parameters,
        },
        "toolchain": dict(sorted(source.toolchain.items())),
        "opset": _used_opsets(model, tagging.nodes),
        "inputs": [_value_row(value, symbols) for value in model.graph.inputs],
        "outputs": [_value_row(value, symbols) for value in model.graph.outputs],
        "graph": {
            "nodes": len(tagging.nodes),
            "functions": len(model.functions),
            "subgraphs": sum(1 for _ in model.graphs()) - 1,
        },
        "weights": {
            "parameters": describe_parameters(source.parameters),
            "initializers": describe_initializers(graph),
            "tied": tied_groups(graph),
            "duplicates": duplicates(graph) if source.real_weights else None,
        },
        "coverage": tagging.coverage.to_dict(),
        "attestation": dict(source.attestation),
        "parity": dict(source.parity),
        "modules": fold_rows(_module_rows(tagging)),
        "untagged": _untagged(tagging.nodes),
    }


def _module_rows(tagging: Tagging) -> list[dict[str, Any]]:
    graph = tagging.graph
    fingerprints = Fingerprints(graph)
    weights = weights_by_module(graph)
    own: dict[str, list[NodeFacts]] = {}
    for facts in tagging.nodes:
        if facts.path is not None:
            own.setdefault(facts.path, []).append(facts)
    rows = []
    for path, info in graph.modules.items():
        nodes = own.get(path, [])
        if not info.executed and not nodes and path not in weights:
            continue
        rows.append(
            {
                "path": escape_path(path),
                "class": info.class_name,
                "calls": info.calls,
                "nodes": len(nodes),
                "ops": _histogram(facts.node for facts in nodes),
                "dtypes": dict(
                    sorted(
                        Counter(
                            value.dtype.name
                            for facts in nodes
                            for value in facts.node.outputs
                            if value.dtype is not None
                        ).items()
                    )
                ),
                "evidence": dict(sorted(Counter(facts.evidence.value for facts in nodes).items())),
                "weights": dict(sorted(weights.get(path, {}).items())),
                "fingerprint": fingerprints.of(path),
            }
        )
    return rows


def _histogram(nodes: Any) -> dict[str, int]:
    """Operator → count; operators of other domains with their domain (``com.microsoft::Gelu``)."""
    counts = Counter(
        f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        for node in nodes
    )
    return dict(sorted(counts.items()))


def _untagged(nodes: list[NodeFacts]) -> dict[str, Any]:
    lost = [facts.node for facts in nodes if facts.path is None]
    return {"nodes": len(lost), "ops": _histogram(lost)}


def _used_opsets(model: ir.Model, nodes: list[NodeFacts]) -> dict[str, int]:
    used = {facts.node.domain for facts in nodes} | {""}
    return {domain: version for domain, version in sorted(model.opset_imports.items()) if domain in used}


class _Symbols:
    """Renames generated symbols by first appearance (``d0``, ``d1``, …); equal symbols stay equal."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def canonical(self, dim: str) -> str:
        return _GENERATED_SYMBOL.sub(
            lambda match: self._names.setdefault(match.group(0), f"d{len(self._names)}"), dim
        )


def _value_row(value: ir.Value, symbols: _Symbols) -> dict[str, Any]:
    dims: list[int | str | None] | None = None
    if value.shape is not None:
        dims = []
        for dim in value.shape:
            if isinstance(dim, int):
                dims.append(dim)
            elif dim.value and dim.value.isdecimal():
                dims.append(int(dim.value))  # with dynamic axes transformers' exporter writes constants as symbols
            else:
                dims.append(symbols.canonical(dim.value) if dim.value else None)
    dtype = value.dtype.name if value.dtype is not None else str(value.type)
    return {"name": value.name, "dtype": dtype, "dims": dims}
