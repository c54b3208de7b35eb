"""From a tagged graph to the record: the canonical, torch-free description that a baseline stores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from pytest_htp.describe.fingerprint import Fingerprints
from pytest_htp.describe.weights import (
    describe_initializers,
    describe_parameters,
    duplicates,
    ties,
    weights_by_module,
)
from pytest_htp.format import SCHEMA
from pytest_htp.format.fold import fold_rows
from pytest_htp.format.tensors import fold_tensors, unfold_tensors
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
    names = _output_names(source)
    inputs = fold_tensors([_value_row(value, value.name or "", symbols) for value in model.graph.inputs])
    outputs = fold_tensors(
        [
            _value_row(value, name, symbols) | _origin(tagging, value, named=name == value.name)
            for value, name in zip(model.graph.outputs, names, strict=True)
        ]
    )
    rows = _module_rows(tagging)
    return {
        "schema": SCHEMA,
        "model": {
            "class": source.model_class,
            "exporter": source.exporter,
            "modules": len(graph.modules),
            "executed": sum(row["calls"] > 0 for row in rows),
            "parameters": source.total_parameters,
        },
        "toolchain": dict(sorted(source.toolchain.items())),
        "opset": _used_opsets(model, tagging.nodes),
        "inputs": inputs,
        "outputs": outputs,
        "graph": {
            "nodes": len(tagging.nodes),
            "functions": len(model.functions),
            "subgraphs": sum(1 for _ in model.graphs()) - 1,
        },
        "weights": {
            "parameters": describe_parameters(source.parameters),
            "initializers": describe_initializers(graph),
            **ties(graph),
            "duplicates": duplicates(graph) if source.real_weights else None,
        },
        "coverage": tagging.coverage.to_dict(),
        "attestation": dict(source.attestation),
        "parity": _parity_row(source.parity, model, outputs),
        "modules": fold_rows(rows),
        "untagged": _untagged(tagging.nodes),
    }


def _module_rows(tagging: Tagging) -> list[dict[str, Any]]:
    graph = tagging.graph
    fingerprints = Fingerprints(graph)
    weights = weights_by_module(graph)
    own: dict[str, list[NodeFacts]] = {}
    exported: set[str] = set()
    for facts in tagging.nodes:
        if facts.path is not None:
            if facts.path not in own:
                exported.update(graph.call_path(facts.path))
            own.setdefault(facts.path, []).append(facts)
    rows = []
    for path, info in graph.modules.items():
        nodes = own.get(path, [])
        # Which branch of a torch.cond ran depends on weights and inputs; that it is in the graph doesn't.
        called = info.executed or path in exported
        if not called and path not in weights:
            continue
        rows.append(
            {
                "path": path,  # fold_rows escapes it
                "class": info.class_name,
                "calls": max(info.calls, 1) if called else 0,
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
        f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type for node in nodes
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
        return _GENERATED_SYMBOL.sub(lambda match: self._names.setdefault(match.group(0), f"d{len(self._names)}"), dim)


def _output_names(source: RecordSource) -> list[str]:
    """Names of the graph's outputs as the record tells them.

    ``torch.onnx``, which no output names are given to here, calls an output after the FX node that makes it
    (``linear_15``, ``linear_alias_1``). Such a name is nobody's contract and moves with every inserted node; the
    record numbers it by place instead (``output.0``).
    """
    outputs = source.tagging.graph.model.graph.outputs
    if source.exporter == "torch":
        return [f"output.{place}" for place in range(len(outputs))]
    return [value.name or "" for value in outputs]


def _origin(tagging: Tagging, value: ir.Value, *, named: bool) -> dict[str, Any]:
    """``{"module"}``: the module whose node makes an output, absent where none does; ``{"named": False}``
    where the exporter made its name up. Outputs that swapped places or labels are seen by their modules."""
    producer = value.producer()
    facts = tagging.graph.by_node.get(producer) if producer is not None else None
    origin: dict[str, Any] = {} if named else {"named": False}
    if facts is not None and facts.path is not None:
        origin["module"] = facts.path
    return origin


def _parity_row(parity: Mapping[str, Any], model: ir.Model, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The parity section with one entry per row of outputs, under its name: the worst of its tensors."""
    if not parity["measured"]:
        return dict(parity)
    unfolded = unfold_tensors({**row, "row": row["name"]} for row in outputs)
    row_of = {value.name: row["row"] for value, row in zip(model.graph.outputs, unfolded, strict=True)}
    worst: dict[str, dict[str, Any]] = {}
    for found in parity["outputs"]:
        name = row_of.get(found["name"], found["name"])
        known = worst.setdefault(name, {**found, "name": name})
        for key in ("max_abs", "max_rel"):
            known[key] = max(known[key], found[key], key=_magnitude)
    failed = dict.fromkeys(row_of.get(name, name) for name in parity["failed"])
    return {**parity, "outputs": list(worst.values()), "failed": list(failed)}


def _magnitude(decade: str | None) -> float:
    return float("inf") if decade is None else float(decade)


def _value_row(value: ir.Value, name: str, symbols: _Symbols) -> dict[str, Any]:
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
    dtype = value.dtype.name if value.dtype is not None else str(value.type)
    return {"name": name, "dtype": dtype, "dims": dims}
