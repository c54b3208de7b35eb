"""What is said of stages that nobody changed: the four standard pipelines, exported again in other circumstances.

    python benchmarks/stages_steady.py [--only bert resnet ...] [--seeds 1 2]

Each bundled model goes through each pipeline of the demo, and its record is compared with that of the same export

- ``again``: once more in the same process;
- ``process``: in another process with another hash seed, and two threads where it was one;
- ``weights``: with weights of another seed.

Expected: no finding at all in the first two; of other weights none that fails a test. Prints JSON: files compared,
byte-equal ones, and findings by circumstance.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from _measure import ROOT, report

sys.path.insert(0, str(ROOT))

from fixtures import config_dir, config_names
from pytest_htp import HTPExporter, compare_exports

PIPELINES: dict[str, list[Any]] = {
    "optimized": ["ort:extended"],
    "half": ["fp16"],
    "dynamic": ["int8:dynamic"],
    "static": ["int8:qdq", "ort:extended"],
}


def records(names: list[str], pipelines: list[str], seed: int) -> dict[str, dict[str, Any]]:
    """Model and pipeline → the record of its export."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for pipeline in pipelines:
                exporter = HTPExporter(stages=PIPELINES[pipeline], seed=seed)
                found[f"{name} {pipeline}"] = exporter.export(config_dir(name), None, Path(folder) / "m.onnx").record
    return found


def elsewhere(names: list[str], pipelines: list[str], seed: int) -> dict[str, dict[str, Any]]:
    """:func:`records`, in another process with another hash seed and more threads."""
    command = [sys.executable, __file__, "--only", *names, "--pipelines", *pipelines, "--records", str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed + 7), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=config_names())
    parser.add_argument("--pipelines", nargs="*", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--records", type=int, default=None, help="print the records of this seed, and no more")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    asked = arguments.only, arguments.pipelines
    if arguments.records is not None:
        print(json.dumps(records(*asked, arguments.records)))
        return
    first = records(*asked, 0)
    others = [("again", records(*asked, 0)), ("process", elsewhere(*asked, 0))]
    others += [("weights", records(*asked, seed)) for seed in arguments.seeds]
    result: dict[str, Any] = {}
    for circumstance, again in others:
        row = result.setdefault(circumstance, {"exports": 0, "equal": 0, "findings": []})
        for key, record in again.items():
            row["exports"] += 1
            row["equal"] += json.dumps(record, sort_keys=True) == json.dumps(first[key], sort_keys=True)
            found = compare_exports(first[key], record).findings
            row["findings"] += [f"{key}: {f.verdict} {f.code} {f.module} [{f.stage}] {f.message}"[:160] for f in found]
    report({"benchmark": "stages_steady", "models": arguments.only, **result})


if __name__ == "__main__":
    main()
