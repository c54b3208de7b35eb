"""What carrying tags costs: against the stage itself on BERT-base, and against the number of nodes on Llamas.

    python benchmarks/carry_cost.py [--rounds N] [--layers 32 64 128] [--only bert extended weightless nameless]

- ``bert-base``: seconds of each built-in stage, and of carrying the tags onto its file (types, carrying, and
  running both graphs where names lead nowhere); the least of ``--rounds``.
- ``llama``: seconds of carrying by nodes, and the exponent of a log-log fit: through ``ort:extended`` with narrow
  layers and their weights; without weights through a tool that renames every node and every second value; and with
  weights through one that leaves no name, so that each weight is looked for among all of its size.

Expected: carrying at most 25% of the stage or 1 s, whichever is more; exponents at most 1.1.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import onnx_ir as ir
from _measure import report
from carry import handed_on
from transformers import BertConfig, LlamaConfig

from pytest_htp import Stage
from pytest_htp.exporter import staging
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import run_stages
from pytest_htp.parity.result import ParityResult
from pytest_htp.stages import BUILT_IN


def timed(exported: Exported, parity: ParityResult, stage: str | Stage) -> dict[str, Any]:
    """Seconds of a stage and of carrying onto its file."""
    spent: list[float] = []

    def watched(name: str) -> Any:
        function = getattr(staging, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent.append(time.perf_counter() - started)

        return mock.patch.object(staging, name, call)

    with watched("complete_types"), watched("carry"), watched("_equal_values"):
        result = run_stages(replace(exported, options=replace(exported.options, stages=[stage])), parity)
    if result.failure is not None:
        raise result.failure
    (made,) = result.stages.values()
    return {"stage": made.seconds, "carry": sum(spent), "nodes": made.coverage.total_nodes, "none": made.coverage.none}


def least(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: round(min(each[key] for each in rounds), 3) for key in rounds[0]}


def bert_base(rounds: int) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        config = BertConfig(architectures=["BertModel"])
        exported, parity = handed_on(config, None, Path(folder))
        for stage in BUILT_IN:
            row = least([timed(exported, parity, stage) for _ in range(rounds)])
            row["within"] = row["carry"] <= max(1.0, 0.25 * row["stage"])
            found[stage] = row
    return found


def renamed(source: Path, destination: Path) -> None:
    """As a tool that numbers anew."""
    model = ir.load(source)
    for number, node in enumerate(model.graph):
        node.name = f"n{number}"
        for value in node.outputs if number % 2 else ():
            if not value.is_graph_output():
                value.name = f"v{number}"
    ir.save(model, destination)


def nameless(source: Path, destination: Path) -> None:
    """As a tool that keeps no name at all."""
    model = ir.load(source)
    values = [*model.graph.initializers.values(), *(value for node in model.graph for value in node.outputs)]
    for number, node in enumerate(model.graph):
        node.name = f"n{number}"
    for number, value in enumerate(values):
        if not value.is_graph_output():
            value.name = f"v_{number}_"
    ir.save(model, destination)


def llama(layers: int, width: int, weights: str, stage: str | Stage, rounds: int) -> dict[str, Any]:
    config = LlamaConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=128, use_cache=False, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        exported, parity = handed_on(config, None, Path(folder), weights=weights, parity=False)
        return {"layers": layers, **least([timed(exported, parity, stage) for _ in range(rounds)])}


# Width, weights, stage.
LLAMAS: dict[str, tuple[int, str, str | Stage]] = {
    "extended": (32, "real", "ort:extended"),
    "weightless": (4096, "none", Stage("renamed", renamed)),
    "nameless": (32, "real", Stage("nameless", nameless)),
}


def exponent(rows: list[dict[str, Any]]) -> float:
    (first, *_, last) = rows
    return round(math.log(last["carry"] / first["carry"]) / math.log(last["nodes"] / first["nodes"]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", nargs="*", type=int, default=[32, 64, 128])
    parser.add_argument("--only", nargs="*", choices=["bert", *LLAMAS], default=["bert", *LLAMAS])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"bert-base": bert_base(arguments.rounds)} if "bert" in arguments.only else {}
    for name in LLAMAS.keys() & set(arguments.only):
        width, weights, stage = LLAMAS[name]
        rows = [llama(layers, width, weights, stage, arguments.rounds) for layers in arguments.layers]
        found[name] = {"rows": rows, "exponent": exponent(rows)}
    report(found)


if __name__ == "__main__":
    main()
