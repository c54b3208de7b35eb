"""Does ``quality.worse`` name the module where quality goes?

    python benchmarks/quality_faults.py [--models a,b] [--limit N] [--steady]

Each model is exported once and quantized (QDQ): every other model with weights per channel, one channel of each being
larger than the others as in trained ones, and values in 16 bits, as for NPUs. The record with that stage is the
baseline. Then one fault at a time (``quantization_faults.py``) is planted into the quantized file, which runs through
the stages of the product as a ``Stage``, and both records go through the comparison that the gate uses.

``effect`` is the largest fall of any module's or output's SQNR, in exact dB, not in a baseline's steps. Up to the
tolerance (6 dB) the fault is none to find (``harmless``). Up to the tolerance and one step of a baseline (3 dB) it
depends on where the numbers lie between steps whether a fall can be seen (``in_a_step``). All others count
(``faults``):

- ``exact``: the finding names the module that the fault is in; ``wrong``: another one;
- ``elsewhere``: a finding of another code alone; ``silent``: none.

``--steady`` measures again instead: ``machines``, the good file with other threads and graph optimizations of ONNX
Runtime, and a file quantized on the same samples in another order; ``samples``, one quantized on other samples, which
is another file. ``same`` of them give the stage's part of a baseline byte for byte, ``same_after_update`` leave that of
a stored one as it is under ``--snapshot-update``; ``told`` are findings without a fault.

Expected: exact_percent at least 95, silent 0; of other machines all the same, nothing told.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from _measure import report
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from parity_zoo import make
from quantization_faults import QuantizationFault, faults
from torch import nn

from pytest_htp import HTPExporter, Stage
from pytest_htp.baseline.stored import carried_over
from pytest_htp.compare.engine import compare_exports
from pytest_htp.exporter import verification
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.result import HTPStage
from pytest_htp.exporter.staging import run_stages
from pytest_htp.format.serialize import dict_of
from pytest_htp.parity import session
from pytest_htp.parity.feeds import match_inputs
from pytest_htp.parity.result import ParityResult
from pytest_htp.stages.built_in import _for_quantizing
from pytest_htp.tagging.tagger import Tagging

MODELS = ("bert", "distilbert", "gpt2", "llama", "vit", "resnet", "whisper", "t5", "convnet", "convnext", "opt", "mlp")
TOLERANCE, STEP = 6.0, 3.0
NAME = "int8"
OTHER_SAMPLES = "samples of another seed"
Feeds = list[dict[str, Any]]
Look = Callable[["Subject", Path, bool], list[dict[str, Any]]]


@dataclass(frozen=True)
class Subject:
    """A model exported and quantized, and the record that is its baseline."""

    name: str
    exported: Exported
    parity: ParityResult
    export: dict[str, Any]
    good: Path
    wrong: Path
    stage: HTPStage
    baseline: dict[str, Any]
    feeds: Feeds


def prepare(name: str, folder: Path, *, per_channel: bool) -> Subject:
    model, inputs = make(name)
    if per_channel:
        one_large_channel(model)
    kept: list[tuple[Exported, ParityResult]] = []

    def keep(exported: Exported, parity: ParityResult) -> Any:
        kept.append((exported, parity))
        return run_stages(exported, parity)

    with mock.patch.object(verification, "run_stages", keep):
        export = HTPExporter(stages=[Stage(NAME, shutil.copyfile)]).export(model, inputs, folder / "model.onnx")
    exported, parity = kept[0]
    feeds = [arrays(exported)]
    good, wrong = folder / "good.onnx", folder / "wrong.onnx"
    quantize(exported.path, good, feeds, per_channel=per_channel)
    quantize(exported.path, wrong, [unlike(feeds[0])], per_channel=per_channel)
    stage, record = staged(exported, parity, good, export.record)
    return Subject(name, exported, parity, export.record, good, wrong, stage, record, feeds)


def one_large_channel(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.shape[0] > 2:
                row = int(torch.randint(module.weight.shape[0], (1,), generator=generator))
                module.weight[row] *= 10


def arrays(exported: Exported) -> dict[str, Any]:
    return {k: v.numpy() for k, v in match_inputs(exported.program, exported.inputs.named).items()}


def unlike(feed: dict[str, Any]) -> dict[str, Any]:
    """Inputs that a test set would not have: images of almost nothing, the same word everywhere."""
    return {
        name: (array * np.float32(0.05)).astype(array.dtype) if array.dtype.kind == "f" else np.ones_like(array)
        for name, array in feed.items()
    }


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def quantize(source: Path, destination: Path, feeds: Feeds, *, per_channel: bool) -> None:
    quantize_static(
        _for_quantizing(source), destination, Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=per_channel,
        activation_type=QuantType.QUInt16 if per_channel else QuantType.QUInt8,
        weight_type=QuantType.QInt8 if per_channel else QuantType.QUInt8,
    )  # fmt: skip


def staged(
    exported: Exported, parity: ParityResult, file: Path, export: dict[str, Any]
) -> tuple[HTPStage, dict[str, Any]]:
    """The stage whose tool leaves ``file``, and the export's record with it."""
    stage = Stage(NAME, lambda source, destination: shutil.copyfile(file, destination))
    result = run_stages(replace(exported, options=replace(exported.options, stages=(stage,))), parity)
    if result.failure is not None:
        raise result.failure
    return result.stages[NAME], {**export, "stages": [dict_of(record) for record in result.records]}


def owners_of(tagging: Tagging) -> dict[str, frozenset[str]]:
    """Node and value of the float graph → the modules it is of."""
    owners: dict[str, frozenset[str]] = {}
    for facts in tagging.nodes:
        if facts.path is None:
            continue
        modules = frozenset((facts.path, *facts.origins))
        for name in (facts.node.name, *(value.name for value in facts.node.outputs)):
            owners[name or ""] = modules
    return owners


def judge(subject: Subject, fault: QuantizationFault, folder: Path) -> dict[str, Any]:
    proto = onnx.load(subject.good)
    fault.plant(proto.graph)
    path = folder / "faulty.onnx"
    onnx.save(proto, path)
    stage, record = staged(subject.exported, subject.parity, path, subject.export)
    comparison = compare_exports(subject.baseline, record)
    found = [finding for finding in comparison.findings if finding["code"] == "quality.worse"]
    module = found[0]["module"] if found else None
    told = {
        "model": subject.name, "kind": fault.kind, "at": fault.at, "truth": sorted(fault.modules), "found": module,
        "effect": round(effect(subject.stage, stage), 2), "message": found[0]["message"] if found else "",
        "others": sorted({finding["code"] for finding in comparison.findings} - {"quality.worse"}),
    }  # fmt: skip
    return {**told, "verdict": verdict(told, bool(comparison.findings))}


def effect(before: HTPStage, after: HTPStage) -> float:
    """The largest fall in dB of a module or output, infinite where a number went away."""
    falls = [0.0]
    for old, new in ((before.quality, after.quality), (before.output_quality, after.output_quality)):
        falls += [value - new.get(name, -np.inf) for name, value in old.items()]
    return max(falls)


def verdict(told: dict[str, Any], reported: bool) -> str:
    if told["effect"] <= TOLERANCE:
        return "harmless"
    if told["effect"] <= TOLERANCE + STEP:
        return "in_a_step"
    if not told["message"]:
        return "silent" if not reported else "elsewhere"
    if told["found"] in told["truth"]:
        return "exact"
    return "wrong"


@contextmanager
def elsewhere(threads: int, level: str) -> Iterator[None]:
    """As on another machine: other threads, ONNX Runtime's optimizations on."""
    original, levels = session._open, session.ort.GraphOptimizationLevel

    def opened(*args: Any) -> Any:
        with mock.patch.object(levels, "ORT_DISABLE_ALL", getattr(levels, level)):
            return original(*args)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with mock.patch.object(session, "MAX_THREADS", threads), mock.patch.object(session, "_open", opened):
            yield
    finally:
        torch.set_num_threads(before)


def steady(subject: Subject, folder: Path, *, per_channel: bool) -> list[dict[str, Any]]:
    """Findings without a fault, one entry a variation."""
    found = []

    def look(kind: str, file: Path, baseline: dict[str, Any] = subject.baseline) -> None:
        _, record = staged(subject.exported, subject.parity, file, subject.export)
        findings = compare_exports(baseline, record).findings
        codes = [f"{finding['code']} {finding['module']}: {finding['message']}" for finding in findings]
        kept = carried_over(baseline, record, TOLERANCE)
        found.append({"model": subject.name, "variation": kind, "findings": codes,
                      "same": record["stages"] == baseline["stages"],
                      "same_after_update": kept["stages"] == baseline["stages"]})  # fmt: skip

    for threads in (1, 2):
        for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"):
            with elsewhere(threads, level):
                look(f"{threads} threads, {level}", subject.good)
    first, second = (
        [*subject.feeds, *(near(subject.feeds[0], seed) for seed in seeds)] for seeds in (range(4), range(4, 8))
    )
    again = folder / "again.onnx"
    quantize(subject.exported.path, again, first, per_channel=per_channel)
    _, several = staged(subject.exported, subject.parity, again, subject.export)
    for kind, feeds in (("samples in another order", first[::-1]), (OTHER_SAMPLES, second)):
        quantize(subject.exported.path, again, feeds, per_channel=per_channel)
        look(kind, again, several)
    return found


def near(feed: dict[str, Any], seed: int) -> dict[str, Any]:
    """Other inputs of the same kind."""
    generator = np.random.default_rng(seed)
    return {
        name: generator.permuted(array, axis=-1) if name not in ("attention_mask", "position_ids") else array
        for name, array in feed.items()
    }


def chosen(every: Sequence[QuantizationFault], limit: int) -> list[QuantizationFault]:
    """Evenly over the graph, kinds in turn."""
    by_kind: dict[str, list[QuantizationFault]] = {}
    for fault in every:
        by_kind.setdefault(fault.kind, []).append(fault)
    share = max(1, limit // len(by_kind)) if limit else len(every)
    picked: list[QuantizationFault] = []
    for offset, kind in enumerate(by_kind.values()):
        places = np.linspace(0, len(kind) - 1, min(share, len(kind)) * 2 + 1)[1::2] + offset / len(by_kind)
        picked += [kind[index] for index in dict.fromkeys(min(len(kind) - 1, int(place)) for place in places)]
    return picked


def measure(name: str, look: Look, number: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        per_channel = number % 2 == 1
        return look(prepare(name, folder, per_channel=per_channel), folder, per_channel)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--limit", type=int, default=30, help="about so many faults a model (0: all)")
    parser.add_argument("--steady", action="store_true", help="no faults: other machines, other samples")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")

    def planted(subject: Subject, folder: Path, per_channel: bool) -> list[dict[str, Any]]:
        owners = owners_of(subject.exported.tagging)
        every = list(faults(onnx.load(subject.good).graph, owners, wrong=onnx.load(subject.wrong).graph))
        return [judge(subject, fault, folder) for fault in chosen(every, options.limit)]

    def unchanged(subject: Subject, folder: Path, per_channel: bool) -> list[dict[str, Any]]:
        return steady(subject, folder, per_channel=per_channel)

    names = options.models.split(",")
    look = unchanged if options.steady else planted
    rows = [row for name in names for row in measure(name, look, MODELS.index(name) if name in MODELS else 0)]
    if options.steady:
        groups = {"machines": [row for row in rows if row["variation"] != OTHER_SAMPLES],
                  "samples": [row for row in rows if row["variation"] == OTHER_SAMPLES]}  # fmt: skip
        report({"models": len(names), **{name: {
            "measured": len(group), "same": sum(row["same"] for row in group),
            "same_after_update": sum(row["same_after_update"] for row in group),
            "told": [row for row in group if row["findings"]],
        } for name, group in groups.items()}})  # fmt: skip
        return
    verdicts = Counter(row["verdict"] for row in rows)
    counted = [row for row in rows if row["verdict"] not in ("harmless", "in_a_step")]
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], Counter())[row["verdict"]] += 1
    report({
        "models": len(names), "planted": len(rows), "faults": len(counted), "verdicts": dict(verdicts),
        "harmless_but_told": sum(row["verdict"] == "harmless" and bool(row["message"]) for row in rows),
        "in_a_step_told": sum(row["verdict"] == "in_a_step" and bool(row["message"]) for row in rows),
        "in_a_step_exact": sum(row["verdict"] == "in_a_step" and row["found"] in row["truth"] for row in rows),
        "exact_percent": round(100 * verdicts["exact"] / max(1, len(counted)), 2), "silent": verdicts["silent"],
        "kinds": {kind: dict(count) for kind, count in kinds.items()},
        "not_exact": [row for row in counted if row["verdict"] != "exact"],
    })  # fmt: skip


if __name__ == "__main__":
    main()
