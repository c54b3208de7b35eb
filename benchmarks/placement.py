"""Where compilers put the nodes of the bundled families, and how each node is led back to its module.

    python benchmarks/placement.py [--models a,b] [--targets a,b] [--cache FILE] [--table PAGE]

Each family is exported once and quantized once (``int8:qdq``, calibrated on its own inputs); both files are compiled
for each target. Of the compiled nodes, ``named`` are led back by names: their own or, of nodes that an optimizer made,
those of tensors they make and of nodes that read these, or by being all that is between two with a name. ``around``
are led back by the nodes around them, ``at root`` of these to the whole model though not all of those belong to it;
``nowhere`` are the others. ``hidden`` nodes with a name are treated as if they had none, one at a time: ``right`` says
how often the nodes around them tell the same module. For what does not compile, the modules that alone do not are
named.

``seconds`` are from the file to its placement, ``memory`` is the compiler's peak in MiB. ``--models bert-base`` is
BERT-base with 128 tokens.

Rows are kept in the cache file (JSON lines), so that an interrupted run goes on where it stopped.

Expected: at least 99% of the nodes of every file are led back, to another module than the root where only the nodes
around them tell.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from _measure import report
from parity_zoo import make

from fixtures import config_names
from pytest_htp import HTPExporter
from pytest_htp.format.fold import fold_paths
from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.builtin import BUILT_IN
from pytest_htp.targets.messages import CompiledNode, CompileRequest
from pytest_htp.targets.order import in_execution_order
from pytest_htp.targets.placement import known_paths, place, with_neighbours
from pytest_htp.targets.process import compile_apart
from pytest_htp.targets.run import compile_for

STAGE = "int8:qdq"
HIDDEN = 40  # nodes of each file that are hidden, chosen by a seed
TIMEOUT = 300.0

Row = dict[str, Any]


def bert_base() -> tuple[Any, Any]:
    """BERT-base as published, with weights from a seed, and 128 tokens."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokens = torch.randint(0, 30_000, (1, 128))
    return BertModel(BertConfig()).eval(), {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def rows_of(model: str, targets: list[str]) -> list[Row]:
    module, inputs = bert_base() if model == "bert-base" else make(model)
    with tempfile.TemporaryDirectory() as folder:
        export = HTPExporter(stages=[STAGE]).export(module, inputs, Path(folder) / "model.onnx")
        files = {"float": export.onnx_path}
        if export.stage_failure is None:
            files[STAGE] = export.stages[STAGE].onnx_path
        return [
            {"model": model, "precision": precision, "target": target, **compiled(target, Path(file))}
            for precision, file in files.items()
            for target in targets
        ]


def compiled(name: str, file: Path) -> Row:
    target = BUILT_IN[name]
    request = CompileRequest(
        model=str(file), target=name, compiler=target.compiler, options=dict(target.options), provider=target.provider
    )
    started = time.perf_counter()
    done = compile_apart(request, TIMEOUT)
    answer = done.answer
    tagging = read_tagging(ir.load(file))
    place(in_execution_order(answer.nodes, tagging), tagging, answer.device)
    seconds = time.perf_counter() - started
    if answer.outcome != "compiled" or not answer.partitions:
        result = compile_for(target, file, tagging, timeout=TIMEOUT)
        return {"error": (result.error or "")[:200], "failing": fold_paths(result.failing)}
    nodes = in_execution_order(answer.nodes, tagging)
    return {
        "nodes": len(nodes),
        "on_target": sum(node.device == answer.device for node in nodes),
        "partitions": answer.partitions,
        "seconds": round(seconds, 1),
        "memory": answer.memory,
        **led_back(nodes, tagging),
    }


def led_back(nodes: list[CompiledNode], tagging: Tagging) -> Row:
    named = known_paths(nodes, tagging)
    paths = with_neighbours(nodes, named)
    without = [position for position, found in enumerate(named) if not found]
    known = [position for position, found in enumerate(named) if found]
    chosen = random.Random(0).sample(known, min(HIDDEN, len(known)))
    right = 0
    for position in chosen:
        hidden = [found if place != position else [] for place, found in enumerate(named)]
        right += with_neighbours(nodes, hidden)[position] == named[position][:1]
    return {
        "named": len(known),
        "around": sum(bool(paths[position]) for position in without),
        "at_root": sum(paths[position] == [""] and not _agreed(position, nodes, paths) for position in without),
        "nowhere": sorted({nodes[position].op_type for position in without if not paths[position]}),
        "hidden": len(chosen),
        "right": right,
    }


def _agreed(position: int, nodes: list[CompiledNode], paths: list[list[str]]) -> bool:
    """Whether all nodes around it belong to the root."""
    if any(node.inputs for node in nodes):
        readers = [place for place, node in enumerate(nodes) if position in node.inputs]
        around = readers or nodes[position].inputs
    else:
        around = [place for place in (position - 1, position + 1) if 0 <= place < len(nodes)]
    return all(paths[place] == [""] for place in around)


def percent(row: Row) -> float:
    return round(100 * (row["named"] + row["around"] - row["at_root"]) / row["nodes"], 2)


def table(rows: list[Row]) -> str:
    lines = [
        "| family | precision | target | nodes | by name | by neighbours | led back | on the target | partitions |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        start = f"| {row['model']} | {row['precision']} | {row['target']} |"
        if "error" in row:
            alone = ", ".join(f"`{path}`" for path in row["failing"]) or "no module alone"
            lines.append(f"{start} does not compile: {alone} | | | | | |")
            continue
        share = f"{100 * row['on_target'] / row['nodes']:.1f}%"
        counts = f"{row['nodes']} | {row['named']} | {row['around'] - row['at_root']} | {percent(row)}%"
        lines.append(f"{start} {counts} | {share} | {row['partitions']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(config_names()))
    parser.add_argument("--targets", default="cpu,qnn,openvino")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "htp-placement.jsonl")
    parser.add_argument("--table", type=Path, help="page in which what stands between the marks is written anew")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    wanted, targets = options.models.split(","), options.targets.split(",")
    kept = [json.loads(line) for line in options.cache.read_text().splitlines()] if options.cache.exists() else []
    for model in wanted:
        if not any(row["model"] == model for row in kept):
            made = rows_of(model, targets)
            kept += made
            with options.cache.open("a") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in made)
    rows = [row for row in kept if row["model"] in wanted and row["target"] in targets]
    counted = [row for row in rows if "error" not in row]
    if options.table:
        before, _, rest = options.table.read_text().partition("<!-- measured -->\n")
        options.table.write_text(
            f"{before}<!-- measured -->\n\n{table(rows)}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
        )
    report(
        {
            "benchmark": "placement",
            "files": len(rows),
            "compiled": len(counted),
            "nodes": sum(row["nodes"] for row in counted),
            **{key: sum(row[key] for row in counted) for key in ("named", "around", "at_root", "hidden", "right")},
            "least_percent": min((percent(row) for row in counted), default=0),
            "nowhere": sorted({operator for row in counted for operator in row["nowhere"]}),
            "failed": [
                [row["model"], row["precision"], row["target"], row["failing"]] for row in rows if "error" in row
            ],
        }
    )


if __name__ == "__main__":
    main()
