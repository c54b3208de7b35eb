"""What quality costs on top of parity, in the one session that both have.

    python benchmarks/quality_cost.py [--rounds N] [--models a,b]

Each model is exported and quantized to int8 (QDQ) once. Then its file is measured by parity alone, and by parity with
quality, in turn; CPU time of the process, one thread. ``share`` is the median of the paired ratios less one, of all
models' times together; a model's own is beside it. ``bert-wide`` has the width and vocabulary of BERT-base and four
layers.

Expected: share at most 0.15.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from _measure import report
from parity_zoo import FURTHER, prepare
from quality_faults import quantize

from pytest_htp.carry import carry
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.measure import measure_parity
from pytest_htp.quality import QualityRequest, measure_stage

MODELS = ("bert-wide", "bert", "llama", "vit", "resnet")


def request_of(name: str, folder: Path) -> QualityRequest:
    export = prepare(name, folder).request
    feeds = {key: value.numpy() for key, value in match_inputs(export.program, export.inputs).items()}
    path = folder / "stage.onnx"
    quantize(export.onnx_path, path, [feeds], per_channel=False)
    program = ir.load(path)
    return QualityRequest(
        onnx_path=path, program=program, inputs=export.inputs, hierarchy=export.hierarchy,
        tagging=carry(export.tagging, program), precision="int8", values=measure_parity(export).values,
        export=export.program,
    )  # fmt: skip


def cpu(function: Callable[[], Any]) -> float:
    gc.collect()
    started = time.process_time()
    function()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    FURTHER["bert-wide"] = ("BertModel", "BertConfig", {"num_hidden_layers": 4})
    models: dict[str, dict[str, float]] = {}
    totals: tuple[list[float], list[float]] = ([0.0] * options.rounds, [0.0] * options.rounds)
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            request = request_of(name, Path(folder))
            sides = (lambda request=request: measure_parity(request)), (lambda request=request: measure_stage(request))
            for side in sides:
                side()  # imports and caches are neither's cost
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(options.rounds):
                for index in (0, 1) if number % 2 == 0 else (1, 0):
                    times[index].append(cpu(sides[index]))
            for index in (0, 1):
                totals[index][:] = [a + b for a, b in zip(totals[index], times[index], strict=True)]
            share = statistics.median(b / a for a, b in zip(*times, strict=True)) - 1
            models[name] = {"parity_s": round(statistics.median(times[0]), 4), "share": round(share, 4)}
    share = statistics.median(b / a for a, b in zip(*totals, strict=True)) - 1
    report({"benchmark": "quality_cost", "rounds": options.rounds, "models": models, "share": round(share, 4)})


if __name__ == "__main__":
    main()
