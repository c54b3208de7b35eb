"""Parity and attestation over the zoo: what is attested, why the rest is not, and which exports are right only at their
example's sizes.

    python benchmarks/attestation.py [--only NAME ...] [--limit SECONDS]

Prints one line of JSON per export and the totals at the end. ``share`` is attested modules over those that returned a
tensor of their own (pass-throughs and the root prove nothing and are left out); ``share_with_joint`` counts those as
well that agree jointly with the modules a rewrite joined them with.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import signal
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from architectures import kinds, make

NO_CLAIM = ("pass-through", "the root's own output", "no tensor")


def measure(name: str, dynamic: bool) -> dict[str, Any]:
    from pytest_htp import HTPExporter

    with tempfile.TemporaryDirectory() as folder:
        model, inputs = make(name)
        export = HTPExporter(dynamic=dynamic).export(model, inputs, Path(folder) / "m.onnx")
    found: dict[str, Any] = {"name": name, "dynamic": dynamic}
    if not export.parity.measured:
        return {**found, "not_measured": export.parity.reason}
    attestation = export.attestation
    seconds = {step: entry["seconds"] for step, entry in export.data.steps.items()}
    return {
        **found,
        "attested": attestation["attested"],
        "contradicted": attestation["contradicted"],
        "reasons": dict(Counter(entry["reason"] for entry in attestation["unmatched"])),
        "input_sets": sorted(export.parity.input_sets),
        "failed_on": export.record["parity"].get("failed_on", []),
        "first_divergence": export.record["parity"]["first_divergence"],
        "export_s": seconds["model_tracing"] + seconds["onnx_export"],
        "last_step_s": seconds["export_complete"],
    }


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    from pytest_htp.parity.reasons import JOINED

    measured = [row for row in rows if "attested" in row]
    reasons: Counter[str] = Counter()
    for row in measured:
        reasons.update(row["reasons"])
    attested = sum(row["attested"] for row in measured)
    contradicted = sum(len(row["contradicted"]) for row in measured)
    claims = attested + contradicted + sum(count for why, count in reasons.items() if why not in NO_CLAIM)
    return {
        "exports": len(measured),
        "not_measured": [[row["name"], row["dynamic"], row.get("not_measured") or row["error"]] for row in rows
                         if "attested" not in row],
        "attested": attested,
        "contradicted": contradicted,
        "reasons": dict(reasons),
        "share": round(attested / claims, 4),
        "share_with_joint": round((attested + reasons[JOINED]) / claims, 4),
        "failed_on_further_sets": [[row["name"], row["failed_on"]] for row in measured if row["failed_on"]],
        "divergences": sum(row["first_divergence"] is not None for row in measured),
        "last_step_of_export": round(
            sum(row["last_step_s"] for row in measured) / sum(row["export_s"] for row in measured), 4
        ),
    }  # fmt: skip


class _TooLong(BaseException):
    """No ``Exception``, because exporters catch those to try again in another way."""


def _too_long(*_: object) -> None:
    raise _TooLong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--limit", type=int, default=180, help="seconds of one export")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    rows = []
    for name in arguments.only or kinds():
        for dynamic in (False, True):
            signal.alarm(arguments.limit)
            try:
                row = measure(name, dynamic)
            except (Exception, _TooLong) as error:  # one that upstream can't export is no reason to lose the others
                row = {"name": name, "dynamic": dynamic, "error": f"{type(error).__name__}: {error}"[:200]}
            signal.alarm(0)
            rows.append(row)
            print(json.dumps(row), flush=True)
            gc.collect()
    print(json.dumps({"benchmark": "attestation", **totals(rows)}))


if __name__ == "__main__":
    main()
