"""Many exports in one process: does memory grow, does anything stay behind?

    python benchmarks/longrun.py [--exports 300]

Prints one JSON object: ``slope_kib_per_export`` (least squares over resident memory after the first 20),
``seconds`` of the first and the last tenth per export, and counts of what was left: temporary files, open
descriptors, hooks, threads.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from _measure import current_rss

WARM_UP = 20


def slope(values: list[int]) -> float:
    """Least-squares slope of ``values`` over their index."""
    middle = (len(values) - 1) / 2
    mean = statistics.fmean(values)
    spread = sum((index - middle) ** 2 for index in range(len(values)))
    return sum((index - middle) * (value - mean) for index, value in enumerate(values)) / spread


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0


def main(exports: int) -> dict[str, object]:
    import torch
    from torch import nn

    from pytest_htp import HTPExporter

    model = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4)).train()
    memory: list[int] = []
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # whatever makes a temporary file makes it here
        path = Path(folder) / "out" / "model.onnx"
        opened = running = 0
        for number in range(exports):
            if number == WARM_UP:
                opened, running = descriptors(), threading.active_count()
            started = time.perf_counter()
            HTPExporter().export(model, torch.ones(2, 16), path)
            times.append(time.perf_counter() - started)
            gc.collect()
            memory.append(current_rss())
        left = sorted(file.name for file in Path(folder).rglob("*") if file.is_file())
        tempfile.tempdir = None
    tenth = max(len(times) // 10, 1)
    return {
        "exports": exports,
        "slope_kib_per_export": round(slope(memory[WARM_UP:]) / 1024, 1),
        "memory_mib": [round(memory[index] / 2**20) for index in (0, WARM_UP, -1)],
        "seconds_first_tenth": round(statistics.median(times[WARM_UP : WARM_UP + tenth]), 3),
        "seconds_last_tenth": round(statistics.median(times[-tenth:]), 3),
        "left_files": [name for name in left if not name.startswith("model")],
        "left_descriptors": descriptors() - opened,
        "left_threads": threading.active_count() - running,
        "left_hooks": sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()),
        "training": all(module.training for module in model.modules()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exports", type=int, default=300)
    print(json.dumps(main(parser.parse_args().exports), indent=2))
