"""How many nodes of a stage's graph get a tag, are the tags true, and would wrong ones be noticed?

    python benchmarks/carry.py [--only NAME ...] [--per-stage N] [--limit SECONDS]

Each architecture is exported once; each stage runs on that file. Printed is one line of JSON per architecture, and the
totals by stage at the end:

- ``nodes`` by evidence, and the cause of every ``none``;
- ``contradicted``: modules whose carried tags values speak against (boundary and output check, stage's precision);
- ``noticed`` of ``mutations``: the tag of one node at a time is made wrong (another module, a sibling, the caller,
  the same module of another layer) and attestation is drawn again from the same values. Eligible are nodes that stand
  for exactly one node; int8 is left out, whose values are too coarse for the check. Not eligible, and counted, are
  nodes whose values the stage made wrong (``diverged``, parity says it), and those that read and make nothing but
  values whose elements are all equal (``constant``, an attention mask of ones), which prove nothing. ``same`` are
  wrong tags with which every value that the node reads or makes still is what PyTorch recorded at each border that it
  crosses (a Reshape between two modules, called one's or the other's): no check on values can tell; they are no
  mutations. ``missed`` are the others.
- ``carry_s`` and ``stage_s``: seconds of carrying and of the stage itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import onnx_ir as ir
from architectures import kinds, make
from mutate_tags import KINDS, Wrong, mutated, noticed

from pytest_htp import HTPExporter, Stage
from pytest_htp.carry import carry
from pytest_htp.exporter import verification
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult, precision_of, run_stages
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.evidences import Evidences
from pytest_htp.parity.flow import Placement
from pytest_htp.parity.measure import examine
from pytest_htp.parity.result import ParityResult
from pytest_htp.stages import BUILT_IN
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging


def handed_on(model: Any, inputs: Any, folder: Path, **options: Any) -> tuple[Exported, ParityResult]:
    """What an export hands to its stages."""
    seen: list[tuple[Exported, ParityResult]] = []

    def keep(exported: Exported, parity: ParityResult) -> StagesResult:
        seen.append((exported, parity))
        return StagesResult()

    with mock.patch.object(verification, "run_stages", keep):
        HTPExporter(stages=[Stage("none", lambda *_: None)], **options).export(model, inputs, folder / "model.onnx")
    return seen[0]


def measure(name: str, per_stage: int, generator: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "stages": {}}
    with tempfile.TemporaryDirectory() as folder:
        exported, parity = handed_on(*make(name), Path(folder))
        for stage in BUILT_IN:
            result = run_stages(replace(exported, options=replace(exported.options, stages=[stage])), parity)
            if result.failure is not None:
                found["stages"][stage] = {"failed": str(result.failure)[:200]}
                continue
            made = result.stages[stage]
            started = time.perf_counter()
            tagging = carry(exported.tagging, ir.load(made.onnx_path))
            row: dict[str, Any] = {
                "carry_s": round(time.perf_counter() - started, 3),
                "stage_s": round(made.seconds, 3),
                "nodes": dict(Counter(facts.evidence.value for facts in tagging.nodes)),
                "rules": dict(Counter(facts.rule for facts in tagging.nodes if facts.rule)),
                "causes": dict(Counter(facts.cause for facts in tagging.nodes if facts.cause)),
                "contradicted": made.attestation.get("contradicted", []),
                "attested": made.attestation.get("attested"),
            }
            if parity.measured and precision_of(made.program) != "int8" and result.last is not None:
                row |= _mutations(exported, parity, made.onnx_path, result, per_stage, generator)
            found["stages"][stage] = row
    return found


def _mutations(
    exported: Exported, parity: ParityResult, path: Path, result: StagesResult, count: int, generator: random.Random
) -> dict[str, Any]:
    tagging = result.last
    assert tagging is not None
    program = tagging.graph.model
    request = exported.to_measure(path, program, tagging)
    examined = examine(replace(request, precision=precision_of(program), values=parity.values))
    evidences = examined.evidences(exported.hierarchy)
    clean = set(attest(evidences, examined.placement).contradicted)
    eligible = [
        facts for facts in examined.placement.facts
        if facts.evidence is Evidence.DIRECT and not examined.flow.shape_only.issuperset(facts.node.outputs)
    ]  # fmt: skip
    diverged = [facts for facts in eligible if evidences.diverged.issuperset(facts.node.outputs)]
    silent = evidences.observation.constant | examined.flow.shape_only
    constant = [
        facts for facts in eligible
        if silent.issuperset(v for v in (*facts.node.inputs, *facts.node.outputs) if v and not v.is_initializer())
    ]  # fmt: skip
    eligible = [facts for facts in eligible if facts not in diverged and facts not in constant]
    wrong = Wrong(exported.hierarchy)
    kinds_: dict[str, dict[str, int]] = {}
    missed: list[str] = []
    for kind in KINDS:
        places = [(facts, wrong.choices(kind, facts.path or "")) for facts in eligible]
        places = [(facts, choices) for facts, choices in places if choices]
        counts = kinds_[kind] = {"mutations": 0, "noticed": 0, "same": 0}
        for facts, choices in generator.sample(places, min(count, len(places))):
            true, path = facts.path, generator.choice(choices)
            with mutated(facts, path):
                seen = noticed(evidences, tagging, clean)
                same = not seen and tells_nothing(facts, evidences, tagging)
            counts["same" if same else "mutations"] += 1
            counts["noticed"] += seen
            if not seen and not same:
                missed.append(f"{facts.node.op_type} {facts.key}: {true} -> {path}")
    return {"mutated": kinds_, "missed": missed, "diverged": len(diverged), "constant": len(constant)}


def tells_nothing(facts: NodeFacts, evidences: Evidences, tagging: Tagging) -> bool:
    """Whether each value at a node equals, at every border that it crosses by the tags, a tensor recorded there."""
    placement = Placement(evidences.flow, tagging, evidences.hierarchy)
    position, borders = evidences.flow.position[facts.node], evidences.references.borders
    return all(
        any(
            all(evidences.is_on(edge.value, borders[order].outputs) for order in left)
            and all(evidences.is_on(edge.value, borders[order].inputs) for order in entered)
            for left, entered in placement.crossings(edge, later=True)
        )
        for edge in evidences.flow.edges
        if position in (edge.producer, edge.consumer) and edge.value not in evidences.observation.constant
    )


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    summed: dict[str, Any] = {}
    for stage in BUILT_IN:
        measured = [row["stages"][stage] for row in rows if "nodes" in row.get("stages", {}).get(stage, {})]
        nodes: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        kinds_: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        for row in measured:
            nodes.update(row["nodes"])
            causes.update(row["causes"])
            for kind, counts in row.get("mutated", {}).items():
                kinds_[kind].update(counts)
        total = max(nodes.total(), 1)
        summed[stage] = {
            "files": len(measured),
            "failed": [[row["name"], row["stages"][stage]["failed"]] for row in rows
                       if "failed" in row.get("stages", {}).get(stage, {})],
            "nodes": dict(nodes),
            "tagged_percent": round(100 * (total - nodes["none"]) / total, 2),
            "causes": dict(causes),
            "contradicted": sum(len(row["contradicted"]) for row in measured),
            "mutated": {kind: dict(counts) for kind, counts in kinds_.items()},
            "all_mutated": dict(sum(kinds_.values(), Counter[str]())),
            "constant": sum(row.get("constant", 0) for row in measured),
            "carry_over_stage": round(sum(row["carry_s"] for row in measured)
                                      / max(sum(row["stage_s"] for row in measured), 1e-9), 2),
        }  # fmt: skip
    return summed


def _too_long(*_: object) -> None:
    raise TimeoutError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--per-stage", type=int, default=10, help="mutations of each kind, stage and architecture")
    parser.add_argument("--limit", type=int, default=300, help="seconds of one architecture")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    generator = random.Random(0)
    rows = []
    for name in arguments.only or kinds():
        signal.alarm(arguments.limit)
        try:
            row = measure(name, arguments.per_stage, generator)
        except Exception as error:  # one that upstream can't export is no reason to lose the others
            row = {"name": name, "error": f"{type(error).__name__}: {error}"[:200]}
        signal.alarm(0)
        rows.append(row)
        print(json.dumps(row), flush=True)
        gc.collect()
    print(json.dumps({"benchmark": "carry", **totals(rows)}))


if __name__ == "__main__":
    main()
