"""What parity and attestation cost: against the export's time and memory, and against torch's own comparison of
intermediate values on the same exported program.

    python benchmarks/parity_cost.py [--rounds N] [--skip-torch]

- ``share``: step 8 with parity less step 8 without, over the export without parity (BERT-base, batch 2, length 16,
  random weights). Expected: at most 0.25.
- ``peak_ratio``: peak memory of the process with parity over that without. Expected: at most 1.2.
- ``torch_ratio``: ``torch.onnx.verification.verify_onnx_program(…, compare_intermediates=True)`` over our whole
  measurement (watched forward pass, session, parity per module, attestation), on a BERT of four narrow layers from
  ``torch.onnx.export``, one after the other in one process. Expected: at least 50.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _measure import in_subprocess, peak_rss, report
from overhead import model_and_inputs


def export(parity: bool, rounds: int) -> list[dict[str, float]]:
    from pytest_htp import HTPExporter

    model, inputs = model_and_inputs("bert")
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            made = HTPExporter(parity=parity).export(model, inputs, Path(folder) / "m.onnx")
            assert made.parity.measured is parity
            seconds = {name: step["seconds"] for name, step in made.data.steps.items()}
            found.append({"all": sum(seconds.values()), "last": seconds["export_complete"]})
    return found


def against_torch() -> dict[str, Any]:
    """Both on one exported program; the comparison's outcomes are not the point, its time is."""
    import torch
    from torch.onnx.verification import verify_onnx_program
    from transformers import BertConfig, BertModel

    from pytest_htp.capture.hierarchy import watch_forward
    from pytest_htp.capture.marks import clear_marks
    from pytest_htp.capture.provenance import ProvenanceObserver
    from pytest_htp.exporter.save import save_model
    from pytest_htp.parity.measure import measure_parity
    from pytest_htp.parity.result import ParityRequest
    from pytest_htp.tagging.tagger import tag_graph

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=128, hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=256,
        max_position_embeddings=64, return_dict=False,
    )  # fmt: skip
    model = BertModel(config).eval()
    ids = torch.randint(1, 100, (2, 16))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with ProvenanceObserver() as observer:
        program = torch.onnx.export(model, (), kwargs=inputs, dynamo=True, optimize=True, verbose=False)
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        save_model(program.model, path, structure_only=False, parameters=set())
        started = time.perf_counter()
        hierarchy = watch_forward(model, (), inputs, keep_tensors=True)
        tagging = tag_graph(program.model, hierarchy.modules, observer.provenance)
        clear_marks(program.model)
        found = measure_parity(ParityRequest(path, program.model, inputs, hierarchy, tagging))
        ours = time.perf_counter() - started
        assert found.measured
    started = time.perf_counter()
    infos = verify_onnx_program(program, kwargs=inputs, compare_intermediates=True)
    theirs = time.perf_counter() - started
    return {
        "torch_s": round(theirs, 2), "torch_values": len(infos), "ours_s": round(ours, 3),
        "ours_modules": len(found.modules), "torch_ratio": round(theirs / ours, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-torch", action="store_true")
    parser.add_argument("--memory", choices=("with", "without"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if arguments.memory:
        export(arguments.memory == "with", 1)
        report({"peak": peak_rss()})
        return
    export(True, 1)  # imports and caches are neither's cost
    without, measured = export(False, arguments.rounds), export(True, arguments.rounds)
    bare = statistics.median(row["all"] for row in without)
    extra = statistics.median(row["last"] for row in measured) - statistics.median(row["last"] for row in without)
    peaks = {side: in_subprocess("parity_cost.py", "--memory", side)["peak"] for side in ("with", "without")}
    result: dict[str, Any] = {
        "benchmark": "parity_cost",
        "export_s": round(bare, 3),
        "parity_s": round(extra, 3),
        "share": round(extra / bare, 4),
        "peak_without_mb": peaks["without"] >> 20,
        "peak_ratio": round(peaks["with"] / peaks["without"], 4),
    }
    if not arguments.skip_torch:
        result |= against_torch()
    report(result)


if __name__ == "__main__":
    main()
