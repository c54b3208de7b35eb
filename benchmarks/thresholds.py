"""What parity's own constants decide: the same runs judged with other values of each.

    python benchmarks/thresholds.py [--models a,b] [--limit N] [--spread [PRECISION]]

Each model's export, its conversion to half precision, and exports with a numeric fault in one node (up to ``N`` of each
list of ``faults.py``) run once. Then each constant is moved alone and everything is judged again:

- ``attested``, ``contradicted``: of the healthy graphs;
- ``false``: healthy graphs with a divergence;
- ``exact``, ``enclosing``, ``wrong``, ``missed``: faults by the module named, as in ``localise.py``; those that move
  nothing beyond noise are missed as well; ``silent``: missed though an output fails.

A constant is well placed where its neighbours give the same numbers.

With ``--spread`` it is the share of ``localise`` that ``spread`` is, in the precision of stages: each healthy graph
and each fault is converted to half precision, to bfloat16, and quantized (``int8:dynamic``), before it runs. ONNX
Runtime's CPU provider has hardly a kernel for bfloat16, so every weight and every result is rounded to it and computed
with in float, as kernels do that accumulate in float. ``healthy`` is the largest share that any module's root mean
square has where nothing is wrong.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from _measure import report
from faults import faults, large_faults
from parity_zoo import names, prepare

from pytest_htp.carry.carry import carry
from pytest_htp.carry.types import complete_types
from pytest_htp.parity import divergence, observe
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.divergence import first_divergence, locate, locate_passed_on
from pytest_htp.parity.measure import Examination, _anchors, examine
from pytest_htp.parity.refusals import RuntimeRefused
from pytest_htp.parity.result import ParityRequest
from pytest_htp.parity.tolerance import Precision
from pytest_htp.stages.built_in import _half_precision, _quantize_dynamic
from pytest_htp.tagging.coverage import Evidence

GRID = {
    (divergence, "GROWTH"): (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 1e9),
    (divergence, "SAME_PLACE"): (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 1e9),
    (observe, "CLOSEST"): (1.0, 2.0, 4.0, 8.0, 1e9),
    (observe, "NOISE"): (0.0, 0.01, 0.1, 1.0),
}

LARGEST = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
SHARES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


@dataclass
class Run:
    """One examined graph; ``truth`` are the modules that a fault is in, None of a healthy one."""

    request: ParityRequest
    seen: Examination
    truth: set[str] | None = None


def requests(name: str, folder: Path, limit: int) -> Iterator[tuple[ParityRequest, set[str] | None]]:
    """Graphs of a model, and the modules that a fault is in; None of the healthy ones."""
    request = prepare(name, folder).request
    yield request, None
    half = folder / "half.onnx"
    _half_precision(request.onnx_path, half)
    program = ir.load(half)
    complete_types(program)
    tagging = carry(request.tagging, program)
    yield replace(request, onnx_path=half, program=program, tagging=tagging, precision="float16"), None
    placed = [request.tagging.graph.by_node[node] for node in request.program.graph]
    for kind in (faults, large_faults):
        every = [fault for fault in kind(onnx.load(request.onnx_path).graph) if placed[fault.position].path is not None]
        for fault in every[:: max(1, len(every) // limit)][:limit]:
            proto = onnx.load(request.onnx_path)
            fault.inject(proto.graph)
            onnx.save(proto, folder / "faulty.onnx")
            facts = placed[fault.position]
            truth = {facts.path or "", *(facts.origins if facts.evidence is Evidence.FUSED else ())}
            yield replace(request, onnx_path=folder / "faulty.onnx"), truth


def round_to_bfloat16(source: Path, destination: Path) -> None:
    """Every weight, and every float that a node makes, by two Casts."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            held = onnx.numpy_helper.to_array(tensor).clip(-LARGEST, LARGEST)  # masks hold float's lowest
            rounded = held.astype(ml_dtypes.bfloat16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
    floats = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in floats:
                node.output[place] = f"{name}_float"
                cast = partial(onnx.helper.make_node, "Cast")
                nodes += [
                    cast([f"{name}_float"], [f"{name}_rounded"], f"{name}_round", to=onnx.TensorProto.BFLOAT16),
                    cast([f"{name}_rounded"], [name], f"{name}_back", to=onnx.TensorProto.FLOAT),
                ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, destination)


STAGES: dict[Precision, Callable[[Path, Path], None]] = {
    "float16": _half_precision,
    "bfloat16": round_to_bfloat16,
    "int8": _quantize_dynamic,
}


def coarse(
    name: str, folder: Path, limit: int, precisions: Sequence[Precision]
) -> Iterator[tuple[ParityRequest, set[str] | None]]:
    """The same graphs in the precision of stages, but for the one in float."""
    for request, truth in requests(name, folder, limit):
        if request.precision is not None:
            continue
        for precision in precisions:
            path = folder / f"{precision}.onnx"
            try:
                STAGES[precision](request.onnx_path, path)
            except (AssertionError, RuntimeError, ValueError):  # a fault that a converter stumbles over
                continue
            program = ir.load(path)
            complete_types(program)
            tagging = carry(request.tagging, program)
            made = replace(request, onnx_path=path, program=program, tagging=tagging, precision=precision)
            yield made, truth


def runs(made: Iterator[tuple[ParityRequest, set[str] | None]]) -> Iterator[Run]:
    for request, truth in made:
        try:
            yield Run(request, examine(request), truth)
        except RuntimeRefused:  # the CPU lacks operators in half precision
            continue


def spreads(run: Run) -> Iterator[tuple[float, Counter[str]]]:
    """Share of ``localise`` → what is said with that as ``spread``."""
    for share in SHARES:
        for reference in run.seen.references.items:
            reference.tolerance = replace(reference.tolerance, spread=share * reference.tolerance.localise)
        yield share, judged(run)


def largest_share(run: Run) -> float:
    """Of all that was located of a healthy graph."""
    return max(
        (
            found.difference.spread / tolerance.localise
            for index, found in run.seen.located.items()
            if (tolerance := run.seen.references.items[index].tolerance).localise and not found.difference.nonfinite
        ),
        default=0.0,
    )


def judged(run: Run) -> Counter[str]:
    request, seen = run.request, run.seen
    anchors = _anchors(request.program, request.hierarchy.result, seen.references)
    located = locate(seen.observation, seen.flow, anchors, seen.placement)
    passed_on = locate_passed_on(seen.observation, seen.flow, seen.placement)
    found = first_divergence(request.hierarchy, seen.references, located, passed_on)
    if run.truth is None:
        evidences = replace(seen, located=located).evidences(request.hierarchy)
        attestation = attest(evidences, seen.placement).to_dict()
        return Counter(
            attested=attestation["attested"], contradicted=len(attestation["contradicted"]), false=found is not None
        )
    if found is None:
        failed = any(output.failed for output in seen.outputs)
        return Counter(missed=1, silent=failed)
    if found.module in run.truth:
        return Counter(exact=1)
    around = any(not found.module or f"{module}.".startswith(f"{found.module}.") for module in run.truth)
    return Counter(enclosing=1) if around else Counter(wrong=1)


def measure_spread(chosen: list[str], limit: int, precisions: Sequence[Precision]) -> None:
    said: dict[str, dict[float, Counter[str]]] = {}
    healthy: dict[str, dict[str, float]] = {}
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            for run in runs(coarse(name, Path(folder), limit, precisions)):
                precision = str(run.request.precision)
                if run.truth is None:
                    healthy.setdefault(precision, {})[name] = round(largest_share(run), 3)
                for share, counts in spreads(run):
                    said.setdefault(precision, {share: Counter() for share in SHARES})[share] += counts
    report({"models": chosen, "healthy": healthy, "spread": said})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="", help="comma-separated names; all families otherwise")
    parser.add_argument("--limit", type=int, default=20, help="faults of each list a model")
    parser.add_argument(
        "--spread", nargs="?", const="", choices=STAGES, help="of these, or of one, instead of the constants"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    chosen = options.models.split(",") if options.models else names(plain=False)
    if options.spread is not None:
        measure_spread(chosen, options.limit, [options.spread] if options.spread else [*STAGES])
        return
    found: dict[str, dict[float, Counter[str]]] = {
        name: {value: Counter() for value in values} for (_, name), values in GRID.items()
    }
    count: Counter[str] = Counter()
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            for run in runs(requests(name, Path(folder), options.limit)):
                count["healthy" if run.truth is None else "faults"] += 1
                for (module, constant), values in GRID.items():
                    usual = getattr(module, constant)
                    for value in values:
                        setattr(module, constant, value)
                        found[constant][value] += judged(run)
                    setattr(module, constant, usual)
    report({"models": chosen, **count, "constants": found})


if __name__ == "__main__":
    main()
