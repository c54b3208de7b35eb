"""Exports without weights: time and peak memory against the size of the model; and real against none where both fit.

    python benchmarks/weightless.py [--sizes 1B 8B 70B 405B] [--skip-fit]

Llama configs of the published sizes; every export in a process of its own. Expected: 8B within 60 s and 1 GiB,
405B within
300 s and 1.5 GiB.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from _measure import in_subprocess, peak_rss, report

# hidden, intermediate, layers, heads, key-value heads, vocabulary: Llama 3.2 1B, 3 8B, 3.1 70B, 3.1 405B
SIZES = {
    "tiny": (256, 512, 4, 4, 2, 8_000),
    "fit": (1024, 2816, 8, 16, 8, 32_000),
    "1B": (2048, 8192, 16, 32, 8, 128_256),
    "8B": (4096, 14336, 32, 32, 8, 128_256),
    "70B": (8192, 28672, 80, 64, 8, 128_256),
    "405B": (16384, 53248, 126, 128, 8, 128_256),
}


def config(size: str) -> Any:
    from transformers import LlamaConfig

    hidden, intermediate, layers, heads, kv_heads, vocabulary = SIZES[size]
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        use_cache=False,
        architectures=["LlamaForCausalLM"],
    )


def one(size: str, weights: str) -> dict[str, Any]:
    from pytest_htp import HTPExporter

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        export = HTPExporter(weights=weights, parity=False).export(config(size), None, Path(folder) / "model.onnx")
        elapsed = time.perf_counter() - started
        return {
            "seconds": round(elapsed, 1),
            "peak_mb": peak_rss() >> 20,
            "nodes": export.coverage.total_nodes,
            "parameters": export.data.total_parameters,
            "file_mb": round((export.data.file_size or 0) / 2**20, 2),
            "steps": {name: round(step["seconds"], 1) for name, step in export.data.steps.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["1B", "8B", "70B", "405B"], choices=list(SIZES))
    parser.add_argument("--skip-fit", action="store_true", help="skip the comparison with real weights")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "WEIGHTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if arguments.one:
        report(one(*arguments.one))
        return
    result: dict[str, Any] = {"benchmark": "weightless"}
    if not arguments.skip_fit:
        real, none = (in_subprocess("weightless.py", "--one", "fit", weights) for weights in ("real", "none"))
        result["fit"] = {
            "real": real,
            "none": none,
            "time_ratio": round(none["seconds"] / real["seconds"], 3),
            "peak_ratio": round(none["peak_mb"] / real["peak_mb"], 3),
        }
    for size in arguments.sizes:
        result[size] = in_subprocess("weightless.py", "--one", size, "none")
    report(result)


if __name__ == "__main__":
    main()
