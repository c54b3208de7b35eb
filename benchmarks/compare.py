"""Comparing two records of 100,000 nodes in 30,000 unfolded modules: time, memory, and time per node by size.

    python benchmarks/compare.py [--rounds 7]

Prints JSON. ``ours`` is ``compare_exports`` on two parsed records; the alternative in the same run is what
one does without it: a unified text diff (difflib) of the two files, which says which lines changed and
nothing of what that means. Cases: ``same``, ``few`` (one module in a thousand changed), ``half`` (every
second one), ``all`` (every module, the worst there is). The text diff is left out where it takes minutes.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._measure import RssWatch, alternate, report, seconds
from pytest_htp.compare.engine import compare_exports
from pytest_htp.format.serialize import dumps
from tests.compare._records import record_of, row

MODULES, NODES = 30_000, 100_000
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)  # nodes
EVERY = {"same": 0, "few": 1_000, "half": 2, "all": 1}
OPS = ("MatMul", "Add", "Mul", "Reshape", "Transpose", "Softmax", "Gather", "Cast")


def record(nodes: int, changed_every: int = 0) -> dict[str, Any]:
    """A record of ``nodes`` nodes, three modules for ten of them; every module differs from its neighbours,
    so that nothing folds."""
    modules = max(1, nodes * MODULES // NODES)
    rows = []
    for index in range(modules):
        own = nodes // modules + (index < nodes % modules)
        ops = {OPS[(index + step) % len(OPS)]: 1 for step in range(own)}
        if changed_every and index % changed_every == 0:
            ops["Sigmoid"] = 1
        fingerprint = f"{index:012x}"
        rows.append(row(f"stage.{index % 7}.part{index // 7}", f"Class{index % 50}", ops, fingerprint=fingerprint))
    return record_of(rows, fold=False)


def measure(nodes: int, every: int, rounds: int, *, diff: bool) -> dict[str, Any]:
    before, after = record(nodes), record(nodes, every)
    if not every:
        after = copy.deepcopy(before)

    def ours() -> object:
        return compare_exports(before, after)

    with RssWatch() as memory:
        findings = len(compare_exports(before, after).findings)
    result: dict[str, Any] = {"nodes": nodes, "modules": len(before["modules"]), "findings": findings}
    if diff:
        old, new = dumps(before).splitlines(), dumps(after).splitlines()
        text, times = alternate(lambda: list(difflib.unified_diff(old, new, n=0, lineterm="")), ours, rounds)
        result["text_diff_seconds"] = round(statistics.median(text), 4)
    else:
        times = [seconds(ours) for _ in range(rounds)]
    result["seconds"] = round(statistics.median(times), 4)
    started = time.process_time()
    ours()
    result["cpu_seconds"] = round(time.process_time() - started, 4)  # tells a busy machine from slow code
    result["microseconds_per_node"] = round(statistics.median(times) / nodes * 1e6, 3)
    result["added_megabytes"] = round(memory.growth / 1e6, 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    cases = {name: measure(NODES, every, rounds, diff=name in ("same", "few")) for name, every in EVERY.items()}
    growth = [measure(nodes, 1_000, rounds, diff=False) for nodes in SIZES]
    report({"cases": cases, "by_size": growth})


if __name__ == "__main__":
    main()
