"""What the monitored export costs on top of the bare one: same engine, same options, both saved.

    python benchmarks/overhead.py [--rounds N] [--model bert|gpt2|resnet] [--no-parity]

Bare: ``transformers.exporters.OnnxExporter().export(…)`` and ``onnx_ir.save`` with external data.
Ours: ``HTPExporter().export(…)``: hooks, tagging, record, comparison with itself, metadata, reports, save, and with
parity unless ``--no-parity``. Both in one process, alternating; seconds are CPU's, of all threads, for
the machine may be busy. Peak memory in a process of its own each. Expected: at most 1.15 with parity, 1.05 without.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from _measure import alternate, in_subprocess, peak_rss, ratio, report

MODELS = ("bert", "gpt2", "resnet")


def model_and_inputs(name: str) -> tuple[Any, dict[str, Any]]:
    """BERT-base, GPT-2 small or ResNet-50 (transformers' default configs) with random weights, a batch of two; 16
    tokens, or 224 × 224 pixels."""
    import torch
    import transformers as tf

    torch.manual_seed(0)
    if name == "resnet":
        pixels = {"pixel_values": torch.randn(2, 3, 224, 224)}
        return tf.ResNetForImageClassification(tf.ResNetConfig()).eval(), pixels
    model = tf.BertModel(tf.BertConfig()) if name == "bert" else tf.GPT2LMHeadModel(tf.GPT2Config(use_cache=False))
    ids = torch.randint(1, 1000, (2, 16))
    return model.eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def bare(model: Any, inputs: dict[str, Any], folder: Path) -> None:
    import onnx_ir as ir
    from transformers.exporters import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    with tempfile.TemporaryDirectory(dir=folder) as fresh:  # overwriting 400 MB costs by itself
        exported = OnnxExporter().export(model, dict(inputs), OnnxConfig())
        ir.save(exported.program, Path(fresh) / "bare.onnx", external_data="bare.onnx.data")


def ours(model: Any, inputs: dict[str, Any], folder: Path, *, parity: bool) -> None:
    from pytest_htp import HTPExporter, compare_exports

    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        export = HTPExporter(parity=parity).export(model, inputs, Path(fresh) / "ours.onnx")
        compare_exports(export.record, export.record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=MODELS)
    parser.add_argument("--no-parity", dest="parity", action="store_false")
    parser.add_argument("--memory", choices=("bare", "ours"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    monitored = partial(ours, parity=arguments.parity)
    if arguments.memory:
        model, inputs = model_and_inputs(arguments.model)
        with tempfile.TemporaryDirectory() as folder:
            (bare if arguments.memory == "bare" else monitored)(model, inputs, Path(folder))
        report({"peak": peak_rss()})
        return
    result: dict[str, Any] = {"benchmark": "overhead", "parity": arguments.parity, "rounds": arguments.rounds}
    given = () if arguments.parity else ("--no-parity",)
    for name in (arguments.model,) if arguments.model else MODELS:
        model, inputs = model_and_inputs(name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            bare(model, inputs, folder)  # imports and caches are neither's cost
            monitored(model, inputs, folder)
            # As in a session of tests: a full collection walks a million objects (0.3 s of 5), and one forced before
            # each call decides by a hair's breadth which of the two meets the next.
            times = alternate(
                partial(bare, model, inputs, folder),
                partial(monitored, model, inputs, folder),
                arguments.rounds,
                collect=False,
                clock=time.process_time,
            )
        peaks = {
            side: in_subprocess("overhead.py", "--model", name, "--memory", side, *given)["peak"]
            for side in ("bare", "ours")
        }
        result[name] = {
            "ratio": round(ratio(*times), 4),
            "bare_cpu_s": [round(value, 3) for value in times[0]],
            "ours_cpu_s": [round(value, 3) for value in times[1]],
            "peak_ratio": round(peaks["ours"] / peaks["bare"], 4),
            "peak_bare_mb": peaks["bare"] >> 20,
        }
    report(result)


if __name__ == "__main__":
    main()
