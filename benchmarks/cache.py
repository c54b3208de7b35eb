"""A hundred unchanged small models: how much faster is the second run with ``--htp-cache``?

    python benchmarks/cache.py [--models 100] [--profile FILE]

Makes a project of small models with baselines and runs its tests in one pytest process each time: with an empty cache,
then twice more with the filled one. Prints one JSON object: wall and CPU seconds of each run, the ratio of the first to
the median of the others, and how many exports came from the cache. Half of the models are transformers' (BERT, GPT-2,
Llama, ViT and ResNet with two layers, each of ten widths or vocabularies), half are plain modules. Bytecode is kept as
by default, and is there before the first run. ``--profile`` runs once more and writes cProfile's numbers of it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import ROOT

TEST = """
import pytest
import torch
import transformers as tf
from torch import nn

T = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "hidden_size": 32}
IDS = {"input_ids": torch.arange(8).reshape(1, 8), "attention_mask": torch.ones(1, 8, dtype=torch.int64)}
PIXELS = {"pixel_values": torch.ones(1, 3, 32, 32)}
FAMILIES = {
    "bert": lambda n: (tf.BertModel(tf.BertConfig(vocab_size=90 + n, **T)), IDS),
    "gpt2": lambda n: (
        tf.GPT2Model(tf.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=90 + n, use_cache=False)), IDS
    ),
    "llama": lambda n: (tf.LlamaModel(tf.LlamaConfig(vocab_size=90 + n, use_cache=False, **T)), IDS),
    "vit": lambda n: (
        tf.ViTModel(tf.ViTConfig(image_size=32, patch_size=16, **{**T, "hidden_size": 16 + 2 * n})), PIXELS
    ),
    "resnet": lambda n: (
        tf.ResNetModel(tf.ResNetConfig(embedding_size=8 + n, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")),
        PIXELS,
    ),
}

class Plain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(1 + width % 4)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.nn.functional.gelu(layer(x))
        return self.norm(x)

@pytest.mark.parametrize("number", range(HALF))
def test_plain(number, htp_export):
    torch.manual_seed(number)
    htp_export(Plain(8 + number).eval(), torch.ones(2, 8 + number))

@pytest.mark.parametrize("number", range(HALF // 5))
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, number, htp_export):
    torch.manual_seed(number)
    model, inputs = FAMILIES[family](number)
    htp_export(model.eval(), inputs)
"""


def run(folder: Path, name: str, *options: str, python: tuple[str, ...] = ()) -> dict[str, Any]:
    """One pytest process with the cache: wall and CPU seconds, and how many exports it took from the cache."""
    before = os.times()
    started = time.perf_counter()
    command = [sys.executable, *python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--htp-cache", *options]
    further = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTEST_DEBUG_TEMPROOT": str(folder),
    }
    env = {name: value for name, value in (os.environ | further).items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([*command, f"--htp-report={name}"], cwd=folder, env=env, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-2000:])
    exports = json.loads((folder / name / "report.json").read_text())["exports"]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    cached = sum(item["cached"] for item in exports)
    return {"wall": round(wall, 1), "cpu": round(cpu, 1), "exports": len(exports), "cached": cached}


def main(models: int, profile: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_models.py").write_text(TEST.replace("HALF", str(models // 2)))
        run(folder, "bytecode", "--snapshot-update", "--htp-cache=other", "-k", "0")
        first = run(folder, "first", "--snapshot-update")
        again = [run(folder, f"again-{number}") for number in (1, 2)]
        if profile is not None:
            run(folder, "profiled", python=("-m", "cProfile", "-o", str(profile.resolve())))
    return {
        "first": first,
        "again": again,
        "times_faster": {
            clock: round(first[clock] / statistics.median(item[clock] for item in again), 1)
            for clock in ("wall", "cpu")
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--profile", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(main(arguments.models, arguments.profile), indent=2))
