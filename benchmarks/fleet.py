"""A thousand models on ten machines: how even are the shards, and what does joining their reports cost?

    python benchmarks/fleet.py [--models 1000] [--shards 10] [--folder DIR]

Makes a project of synthetic models (chains of 1 to 16 blocks), and runs its tests twice in
that many shards, one pytest process after another: first split by number, which writes baselines and durations
(``htp merge --durations``), then split by pytest-split from those durations, against the baselines. Prints one JSON
object:

- ``imbalance_percent``: how much longer than the average the longest shard was, of ``by_number`` and ``by_durations``:
  CPU seconds of each process, less what one takes that selects no test (its start is the same on every machine).
- ``merge``: wall and CPU seconds and peak memory in MB of ``htp merge`` of the ten reports, in a process of its own.
- ``lost``: the headline's exit code and message where one shard is left out.

With ``--folder`` what was made stays, and shards that were run are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import ROOT

MODELS = """
import torch
from torch import nn

BLOCKS = (
    lambda n: nn.Linear(n, n),
    lambda n: nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 2 * n), nn.GELU(), nn.Linear(2 * n, n)),
    lambda n: nn.Sequential(nn.Linear(n, n), nn.Tanh(), nn.Dropout(0.1)),
    lambda n: nn.TransformerEncoderLayer(n, 2, 2 * n, batch_first=True),
)

def make(seed, width, kinds):
    torch.manual_seed(seed)
    return nn.Sequential(*(BLOCKS[kind](width) for kind in kinds)).eval(), torch.ones(1, 4, width)
"""
TEST = """
def test_{number}(htp_export):
    htp_export(*make({number}, {width}, {kinds}))
"""
PER_FILE = 20


def write_project(folder: Path, count: int) -> None:
    """``count`` tests in files of twenty; their models differ in length, width, kinds of blocks and weights."""
    draw = random.Random(0)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "models.py").write_text(MODELS)
    for start in range(0, count, PER_FILE):
        text = "from models import make\n"
        for number in range(start, min(start + PER_FILE, count)):
            length = min(int(draw.paretovariate(1.2)), 16)  # few large ones among many small ones
            kinds = [draw.randrange(4) for _ in range(length)]
            text += TEST.format(number=number, width=8 * draw.randint(1, 8), kinds=kinds)
        (folder / f"test_models_{start // PER_FILE:03}.py").write_text(text)


def run(folder: Path, *command: str) -> dict[str, float]:
    """One process in the project: its exit code, wall and CPU seconds, peak memory in MB."""
    script = (
        "import json, resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'code': code, 'cpu': used.ru_utime + used.ru_stime, 'mb': used.ru_maxrss / 1000}))\n"
    )
    started = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-c", script, *command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            check=True,
        )
    return {**json.loads(done.stdout), "wall": time.perf_counter() - started}


def run_shards(folder: Path, name: str, shards: int, *options: str) -> list[float]:
    """CPU seconds of each shard; its report is in ``NAME/NUMBER``. Those that are there are read."""
    times = []
    for number in range(1, shards + 1):
        kept = folder / name / str(number) / "used.json"
        if not kept.exists():
            report = f"--htp-report={name}/{number}"
            split = (f"--splits={shards}", f"--group={number}")
            used = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", report, *split, *options)
            if used["code"]:
                raise SystemExit(f"shard {number} of {name} failed; see {folder / 'log'}")
            kept.write_text(json.dumps(used))
        times.append(float(json.loads(kept.read_text())["cpu"]))
        print(f"{name} {number}/{shards}: {times[-1]:.1f} s", file=sys.stderr, flush=True)
    return times


def imbalance(times: list[float], start: float) -> float:
    """Percent by which the longest shard is above the average."""
    net = [seconds - start for seconds in times]
    return round(100 * (max(net) * len(net) / sum(net) - 1), 1)


def main(models: int, shards: int, folder: Path) -> dict[str, Any]:
    if not (folder / "models.py").exists():
        write_project(folder, models)
    htp = (sys.executable, "-m", "pytest_htp", "merge")
    first = run_shards(folder, "first", shards, "--snapshot-update", "--durations-path=none")
    names = [f"first/{number}" for number in range(1, shards + 1)]
    run(folder, *htp, *names, "-o", "merged-first", "--durations", ".test_durations")
    second = run_shards(folder, "second", shards, "--splitting-algorithm=least_duration")
    names = [f"second/{number}" for number in range(1, shards + 1)]
    merged = run(folder, *htp, *names, "-o", "merged")
    lost = run(folder, *htp, *names[:-1], "-o", "merged-lost")
    report = json.loads((folder / "merged" / "report.json").read_text())
    one_file = ("test_models_000.py", "-k", "test_0", "--htp-report=one")
    alone = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *one_file)
    return {
        "models": report["totals"]["exports"],
        "verdicts": {name: count for name, count in report["totals"]["verdicts"].items() if count},
        "shards": shards,
        "cpu_seconds": {"by_number": first, "by_durations": second, "one_test": round(alone["cpu"], 1)},
        "imbalance_percent": {
            "by_number": imbalance(first, alone["cpu"]),
            "by_durations": imbalance(second, alone["cpu"]),
        },
        "merge": {name: round(merged[name], 1) for name in ("wall", "cpu", "mb")},
        "report_mb": round((folder / "merged" / "report.json").stat().st_size / 1e6, 1),
        "lost": {
            "exit": lost["code"],
            "message": json.loads((folder / "merged-lost" / "report.json").read_text())["incomplete"][0]["message"],
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place: Path = (arguments.folder or Path(temporary)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        print(json.dumps(main(arguments.models, arguments.shards, place), indent=2))
