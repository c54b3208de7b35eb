"""How many modules have a number, in every family and after every stage.

    python benchmarks/quality_coverage.py [--models a,b] [--stages a,b]

Counted are the modules that compute something: that return floating-point numbers which they did not take, are not all
zero, and are no constant folded away. ``lacking`` names those of them without a number, with the reason; ``least`` is
the smallest number.

Expected: at least 95% of the modules of every family and stage.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from _measure import report
from parity_zoo import make

from fixtures import config_names
from fixtures.plain import MODELS
from pytest_htp import HTPExporter
from pytest_htp.exporter import verification
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult, run_stages
from pytest_htp.format.fold import expand_pattern
from pytest_htp.parity.result import ParityResult

STAGES = ("int8:dynamic", "int8:qdq", "fp16", "ort:extended")
# Nothing is computed from the inputs, or nothing that could be compared.
NOTHING_COMPUTED = (
    "pass-through", "all zero in PyTorch", "not finite in PyTorch", "no floating-point numbers", "constant",
    "folded into a constant", "not in the optimized graph", "no tensor",
)  # fmt: skip


def measure(name: str, stages: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One export, and each stage on it."""
    model, inputs = make(name)
    kept: list[tuple[Exported, ParityResult]] = []

    def keep(exported: Exported, parity: ParityResult) -> StagesResult:
        kept.append((exported, parity))
        return run_stages(exported, parity)

    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.object(verification, "run_stages", keep):
            HTPExporter().export(model, inputs, Path(folder) / "model.onnx")
        exported, parity = kept[0]
        for stage in stages:
            result = run_stages(replace(exported, options=replace(exported.options, stages=(stage,))), parity)
            told = {"model": name, "stage": stage}
            if result.failure is not None:
                yield {**told, "failed": str(result.failure)[:200]}
                continue
            made = result.stages[stage]
            rows = (made.record.get("quality") or {}).get("modules", [])
            if not rows:
                yield {**told, "failed": made.parity.reason or "not measured"}
                continue
            reasons = {
                path: row["reason"] for row in rows if row["sqnr"] is None for path in expand_pattern(row["path"])
            }
            lacking = {path: reason for path, reason in reasons.items() if reason not in NOTHING_COMPUTED}
            least = min(made.quality, key=lambda path: made.quality[path], default=None)
            yield {
                **told, "measured": len(made.quality), "of": len(made.quality) + len(lacking), "lacking": lacking,
                "least": None if least is None else [least, round(made.quality[least], 1)],
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join([*config_names(), *MODELS]))
    parser.add_argument("--stages", default=",".join(STAGES))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = [row for name in options.models.split(",") for row in measure(name, options.stages.split(","))]
    counted = [row for row in rows if row.get("of")]
    report(
        {
            "benchmark": "quality_coverage",
            "rows": rows,
            "least_percent": round(min((100 * row["measured"] / row["of"] for row in counted), default=0), 1),
            "below_95": [[row["model"], row["stage"]] for row in counted if row["measured"] < 0.95 * row["of"]],
        }
    )


if __name__ == "__main__":
    main()
