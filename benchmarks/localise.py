"""Does parity name the module where an error enters?

    python benchmarks/localise.py [--models a,b] [--limit N] [--seed N] [--large]

Each model is exported and run in PyTorch once. Then one node of the exported graph at a time gets a numeric
fault (see ``faults.py``), the faulty graph runs in ONNX Runtime, and ``first_divergence`` is compared with
the module that the node is tagged with:

- ``exact``: that module (for a node made of several modules, any of them);
- ``enclosing``: a module around it; ``wrong``: any other;
- ``missed``: nothing reported, though a value that a module returned moved by more than the noise (1e-5 of its largest
  magnitude);
- ``inside``: nothing reported; a value within a module moved by more than that, but none that any module returned, so
  that PyTorch knows nothing it could be held against;
- ``noise``: nothing reported, and no value moved by more than that; ``unchanged``: no value changed at all.

``hidden`` are faults that move every output by less than 1e-3 of its magnitude: an ordinary output check
passes them.

``--large`` takes faults of any size instead: stored operands moved by 1e-4 to 1e+3 of their magnitude, NaN, infinite,
saturating, zero, with permuted channels, of another layer. Expected there: at least 99% exact or enclosing, and
``silent`` 0: none of those that move an output beyond tolerance without a divergence being named.

Expected otherwise: at least 98% of the faults that move a value beyond noise exact, at most 0.5% wrong, none on the
healthy export.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import onnx
import torch
from _measure import report
from faults import Fault, faults, large_faults
from parity_zoo import Prepared, names, prepared_models

from pytest_htp.parity.differences import compare_flat
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.measure import measure_parity
from pytest_htp.parity.result import ParityRequest
from pytest_htp.parity.session import RuntimeRefused, ValueSession
from pytest_htp.parity.tolerance import tolerance_for
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import NodeFacts

NOISE = 1e-5
HIDDEN = 1e-3


def all_values(request: ParityRequest, wanted: set[str] | None = None) -> dict[str, torch.Tensor]:
    """Every value of the graph, copied."""
    proto = onnx.load(request.onnx_path, load_external_data=False)
    values = {name: 1 for node in proto.graph.node for name in node.output if name}
    session = ValueSession(request.onnx_path, values, request.providers, batch_bytes=2**62)
    return {
        name: tensor.clone()
        for name, tensor in session.run(match_inputs(request.program, request.inputs))
        if wanted is None or name in wanted
    }


def moved(healthy: dict[str, torch.Tensor], faulty: dict[str, torch.Tensor]) -> float:
    """The largest change of any value, relative to that value's largest magnitude."""
    changes = [0.0]
    for name, tensor in healthy.items():
        other = faulty.get(name)
        if other is None or other.shape != tensor.shape or not tensor.is_floating_point():
            continue
        if tensor.numel():
            found = compare_flat("", tensor, other, tolerance_for(tensor.dtype))
            changes.append(math.inf if found.nonfinite else found.max_rel)
    return max(changes)


def judge(
    fault: Fault, facts: NodeFacts, request: ParityRequest, healthy: dict[str, torch.Tensor], returned: set[str]
) -> dict[str, Any]:
    path = request.onnx_path.with_name("faulty.onnx")
    proto = onnx.load(request.onnx_path)
    fault.inject(proto.graph)
    onnx.save(proto, path)
    faulty = replace(request, onnx_path=path)
    values = all_values(faulty, set(healthy))
    change = moved(healthy, values)
    handed_on = moved({name: healthy[name] for name in returned & healthy.keys()}, values)
    result = measure_parity(faulty)
    found = result.first_divergence
    truth = {facts.path, *facts.origins} if facts.evidence is Evidence.FUSED else {facts.path}
    if found is None:
        verdict = (
            "unchanged" if change == 0 else "noise" if change <= NOISE else "inside" if handed_on <= NOISE else "missed"
        )
    elif found.module in truth:
        verdict = "exact"
    elif any(not found.module or f"{module}.".startswith(f"{found.module}.") for module in truth):
        verdict = "enclosing"
    else:
        verdict = "wrong"
    return {
        "kind": fault.kind,
        "silent": found is None and bool(result.failed),
        "verdict": verdict,
        "hidden": change > 0 and all(output.max_rel < HIDDEN for output in result.outputs),
        "module": facts.path,
        "operator": facts.node.op_type,
        "found": None if found is None else found.module,
        "moved": change,
        "returned_moved": handed_on,
    }


def measure(prepared: Prepared, limit: int, *, large: bool, seed: int) -> dict[str, Any]:
    request = prepared.request
    parity = measure_parity(request)
    healthy = parity.first_divergence
    returned = {name for names in parity.values.values() for name in names}
    values = all_values(request)
    proto = onnx.load(request.onnx_path)
    positions = list(request.program.graph)
    placed = [request.tagging.graph.by_node[node] for node in positions]
    every = [
        fault for fault in (large_faults if large else faults)(proto.graph) if placed[fault.position].path is not None
    ]
    chosen = random.Random(f"{seed} {prepared.name}").sample(every, min(limit or len(every), len(every)))
    judged = []
    for fault in chosen:
        try:
            judged.append(judge(fault, placed[fault.position], request, values, returned))
        except RuntimeRefused as error:
            item = {
                "kind": fault.kind, "verdict": "not runnable", "hidden": False, "silent": False, "error": str(error),
            }  # fmt: skip
            judged.append(item)
    return {
        "model": prepared.name,
        "healthy": None if healthy is None else healthy.module,
        "faults": len(judged),
        "verdicts": dict(Counter(item["verdict"] for item in judged)),
        "judged": judged,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="", help="comma-separated names; all families otherwise")
    parser.add_argument("--limit", type=int, default=0, help="at most so many faults a model (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="which faults are drawn")
    parser.add_argument("--large", action="store_true", help="faults of any size")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    chosen = options.models.split(",") if options.models else names(plain=False)
    models = [
        measure(prepared, options.limit, large=options.large, seed=options.seed) for prepared in prepared_models(chosen)
    ]
    judged = [item for model in models for item in model.pop("judged")]
    verdicts = Counter(item["verdict"] for item in judged)
    kinds: dict[str, Counter[str]] = {}
    for item in judged:
        kinds.setdefault(item["kind"], Counter())[item["verdict"]] += 1
    moving = sum(verdicts[verdict] for verdict in ("exact", "enclosing", "wrong", "missed"))
    report(
        {
            "models": models,
            "kinds": {kind: dict(count) for kind, count in kinds.items()},
            "faults": len(judged),
            "verdicts": dict(verdicts),
            "silent": sum(item["silent"] for item in judged),
            "exact_or_enclosing_percent": round(100 * (verdicts["exact"] + verdicts["enclosing"]) / max(moving, 1), 2),
            "hidden": sum(item["hidden"] for item in judged),
            "exact_percent": round(100 * verdicts["exact"] / max(moving, 1), 2),
            "wrong_percent": round(100 * verdicts["wrong"] / max(moving, 1), 2),
            "falsely_diverging": [model["model"] for model in models if model["healthy"] is not None],
            "not_exact": [
                item for item in judged if item["verdict"] in ("enclosing", "wrong", "missed", "inside", "not runnable")
            ],
        }
    )


if __name__ == "__main__":
    main()
