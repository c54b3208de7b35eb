"""A small BERT-like record to change by hand: 2 inputs, ``layers`` layers, folded as a real one is."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import convert, to_builtins

from pytest_htp.compare.engine import compare_exports
from pytest_htp.format.fold import fold_rows, unfold_rows
from pytest_htp.format.record import SCHEMA, ModuleRow

Record = dict[str, Any]
Row = dict[str, Any]


def folded(rows: Iterable[Row]) -> list[Row]:
    return [to_builtins(item) for item in fold_rows(convert(list(rows), list[ModuleRow]))]


def unfolded(rows: Iterable[Row]) -> list[Row]:
    return [to_builtins(item) for item in unfold_rows(convert(list(rows), list[ModuleRow]))]


def row(path: str, class_name: str, ops: dict[str, int] | None = None, **fields: Any) -> Row:
    ops = ops or {}
    nodes = sum(ops.values())
    values: Row = {
        "path": path,
        "class": class_name,
        "calls": 1,
        "nodes": nodes,
        "ops": ops,
        "dtypes": {"FLOAT": nodes} if nodes else {},
        "evidence": {"direct": nodes} if nodes else {},
        "weights": {},
        "fingerprint": f"{class_name[:3].lower()}{nodes:03d}",
    }
    return {**values, **fields}


def linear(path: str, size: int = 4096) -> Row:
    return row(path, "Linear", {"MatMul": 1, "Add": 1}, weights={"FLOAT": size})


def layer_rows(path: str) -> list[Row]:
    return [
        row(path, "BertLayer"),
        row(f"{path}.attention", "BertAttention"),
        row(f"{path}.attention.self", "BertSelfAttention", {"Reshape": 4, "Transpose": 4, "Attention": 1}),
        *(linear(f"{path}.attention.self.{name}") for name in ("query", "key", "value")),
        row(f"{path}.attention.output", "BertSelfOutput", {"Add": 1}),
        linear(f"{path}.attention.output.dense"),
        row(
            f"{path}.attention.output.LayerNorm",
            "LayerNorm",
            {"LayerNormalization": 1},
            weights={"FLOAT": 256},
        ),
        row(f"{path}.act", "GELU", {"Gelu": 1}),
        linear(f"{path}.dense", 16384),
    ]


def model_rows(layers: int = 12) -> list[Row]:
    mask = row("", "BertModel", {"Cast": 1, "Expand": 2, "Where": 1, "And": 2})
    mask["dtypes"] = {"BOOL": 5, "INT64": 1}
    rows = [
        mask,
        row("embeddings", "BertEmbeddings", {"Add": 2}),
        row("embeddings.word", "Embedding", {"Gather": 1}, weights={"FLOAT": 1_000_000}),
        row("encoder", "BertEncoder"),
    ]
    for index in range(layers):
        rows += layer_rows(f"encoder.layer.{index}")
    pooler = row("pooler", "BertPooler", {"Gather": 1, "Tanh": 1})
    return [*rows, pooler, linear("pooler.dense"), linear("head")]


def record_of(rows: Iterable[Row], *, fold: bool = True, untagged: dict[str, int] | None = None) -> Record:
    """A whole record whose totals agree with its rows."""
    rows = list(rows)
    untagged = untagged or {}
    evidence: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    for item in rows:
        evidence.update(item["evidence"])
        stored.update(item["weights"])
    evidence["none"] = sum(untagged.values())
    total = sum(evidence.values())
    size = sum(stored.values())
    stores = {"count": 60, "bytes": size, "dtypes": dict.fromkeys(stored, 60)}
    return {
        "schema": SCHEMA,
        "model": {"class": "BertModel", "exporter": "torch", "modules": 160, "executed": len(rows),
                  "parameters": size // 4},
        "toolchain": {"onnx": "1.23.2", "torch": "2.13.0", "transformers": "5.23.0"},
        "opset": {"": 23},
        "inputs": [
            {"name": "input_ids", "dtype": "INT64", "dims": ["d0", "d1"]},
            {"name": "attention_mask", "dtype": "INT64", "dims": ["d0", "d1"]},
        ],
        "outputs": [
            {"name": "last_hidden_state", "dtype": "FLOAT", "dims": ["d0", "d1", 128]},
            {"name": "pooler_output", "dtype": "FLOAT", "dims": ["d0", 128]},
        ],
        "graph": {"nodes": total},
        "weights": {
            "parameters": stores,
            "initializers": copy.deepcopy(stores),
            "kept": True,
            "tied": [["embeddings.word.weight", "head.weight"]],
            "tied_apart": [],
            "duplicates": [],
        },
        "coverage": {
            "total_nodes": total,
            **{kind: evidence[kind] for kind in ("direct", "fused", "inferred", "none")},
            "coverage": round(100 * (total - evidence["none"]) / total, 2) if total else 100.0,
            "direct_coverage": round(100 * evidence["direct"] / total, 2) if total else 100.0,
            "root_share": 0.0,
        },
        "attestation": {"measured": True, "attested": 120, "contradicted": [],
                        "unmatched": [{"module": "embeddings.dropout", "reason": "pass-through"}]},
        "parity": {
            "measured": True,
            "outputs": [{"name": "last_hidden_state", "max_abs": "1e-06", "max_rel": "1e-05"},
                        {"name": "pooler_output", "max_abs": "1e-06", "max_rel": "1e-05"}],
            "first_divergence": None,
            "failed": [],
        },
        "modules": folded(rows) if fold else rows,
        "untagged": {"nodes": sum(untagged.values()), "ops": untagged},
    }  # fmt: skip


def bert(layers: int = 12, *, fold: bool = True) -> Record:
    return record_of(model_rows(layers), fold=fold)


def changed(change: Callable[[dict[str, Row]], None], base: Record | None = None, **totals: Any) -> Record:
    """``bert()`` with its unfolded rows (by path) changed in place, totals recomputed."""
    source = base or bert()
    rows = {item["path"]: copy.deepcopy(item) for item in unfolded(source["modules"])}
    change(rows)
    return record_of(rows.values(), **totals)


def edited(edit: Callable[[Record], Any], base: Record | None = None) -> Record:
    """A copy of ``base`` (or ``bert()``) after ``edit``; totals and rows stay as the edit leaves them."""
    record = copy.deepcopy(base or bert())
    edit(record)
    return record


def codes(before: Record, after: Record, **options: Any) -> list[str]:
    """The codes of all findings between two records, worst first."""
    return [finding.code for finding in compare_exports(before, after, **options).findings]


def add_ops(item: Row, ops: dict[str, int], dtype: str = "FLOAT", evidence: str = "direct") -> None:
    """Change a row's operators by signed counts, its other counts with them."""
    for op, count in ops.items():
        for key, name in (("ops", op), ("dtypes", dtype), ("evidence", evidence)):
            item[key] = {**item[key], name: item[key].get(name, 0) + count}
            if not item[key][name]:
                del item[key][name]
        item["nodes"] += count
    item["fingerprint"] += "x"
