"""Single edits of ONNX graphs that change what is computed: does comparing the records say so, and where?

``python -m benchmarks.semantic_mutations [--edits N] [MODEL ...]`` exports each model once (parity off), makes edits
one at a time (``graph_edits.py``), in turn of each kind, keeps those that change ONNX Runtime's results, and compares
the records before and after. A finding is in the right module if it names the module of the edited node, or, where a
value that crosses modules was exchanged, one that hands it on: the graph does not say which of them decided.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from benchmarks import many_valued
from benchmarks.architectures import kinds, make
from benchmarks.graph_edits import KINDS, Edit, Make, edits
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Finding
from pytest_htp.describe.build import build_record, describe_graph
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.record import ModelRow
from pytest_htp.format.serialize import dict_of
from pytest_htp.tagging.tagger import Tagging


@dataclass
class Subject:
    """One export whose graph is edited and put back."""

    name: str
    tagging: Tagging
    feeds: dict[str, Any]
    before: dict[str, Any] = field(init=False)
    expected: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.before, self.expected = self.record(), self.results() or []

    def record(self) -> dict[str, Any]:
        described = describe_graph(self.tagging, parameters={}, named_outputs=False)
        return dict_of(build_record(described, ModelRow(class_name=self.name), {}))

    def results(self) -> list[Any] | None:
        """What ONNX Runtime computes, None where it refuses; in a process of its own: on some edits it aborts."""
        fork = multiprocessing.get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=_send_results, args=(sender, ir.to_proto(self.tagging.graph.model), self.feeds))
        process.start()
        sender.close()
        try:
            results: list[Any] | None = receiver.recv()
        except EOFError:
            results = None
        process.join()
        return results


def _send_results(sender: Any, proto: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        sender.send([np.asarray(value) for value in session.run(None, feeds)])
    except Exception:
        sender.send(None)


@dataclass
class Result:
    model: str
    edit: Edit
    findings: tuple[Finding, ...]

    @property
    def found(self) -> bool:
        return bool(self.findings)

    @property
    def right(self) -> bool:
        named: set[str | None] = set()
        for finding in self.findings:
            named.update([None] if finding.module is None else expand_pattern(finding.module))
            if finding.code.startswith("io."):
                return True
        return bool(named & self.edit.right)


def subject(name: str, *, dynamic: bool = False) -> Subject:
    """Export a model of the zoo, or one of ``many_valued.py``."""
    if name in many_valued.MODELS:
        import torch

        torch.manual_seed(0)
        model, inputs = many_valued.MODELS[name]()
        model.eval()
    else:
        model, inputs = make(name)
    return subject_of(model, inputs, name + (" dynamic" if dynamic else ""), dynamic=dynamic)


def subject_of(model: Any, inputs: Any, name: str, **options: Any) -> Subject:
    """Export a model and keep its tagging, which no result holds."""
    import torch

    from pytest_htp import HTPExporter
    from pytest_htp.exporter import verification as module

    torch.manual_seed(0)
    kept: list[Tagging] = []
    original = module.describe_graph

    def keep(tagging: Tagging, **options: Any) -> Any:
        kept.append(tagging)
        return original(tagging, **options)

    module.describe_graph = keep
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            HTPExporter(parity=False, **options).export(model, inputs, Path(folder) / "model.onnx")
    finally:
        module.describe_graph = original
    return Subject(name, kept[-1], _random_feeds(kept[-1].graph.model))


def _random_feeds(model: ir.Model) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    sizes: dict[str, int] = {}
    feeds = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        shape = [dim if isinstance(dim, int) else sizes.setdefault(str(dim), 2 + len(sizes)) for dim in value.shape]
        kind = value.dtype.numpy()
        if value.dtype == ir.DataType.BOOL:
            feeds[value.name or ""] = generator.random(shape) > 0.3
        elif value.dtype.is_floating_point():
            feeds[value.name or ""] = generator.standard_normal(shape).astype(kind)
        else:
            top = 2 if "mask" in (value.name or "") or "type" in (value.name or "") else 20
            feeds[value.name or ""] = generator.integers(0, top, shape).astype(kind)
            if "mask" in (value.name or ""):
                feeds[value.name or ""][..., 0] = 1
    return feeds


def run(subjects: Iterator[Subject], count: int, seed: int = 0, only: Collection[str] = KINDS) -> Iterator[Result]:
    """Up to ``count`` edits of each model that change its results, in turn of each kind that the graph has."""
    for each in subjects:
        generator = random.Random(f"{seed} {each.name}")
        waiting: dict[str, list[Make]] = {kind: [] for kind in KINDS}
        for kind, make_edit in edits(each.tagging.graph):
            waiting[kind].append(make_edit)
        for made in waiting.values():
            generator.shuffle(made)
        left = [kind for kind in KINDS if kind in only]
        done = 0
        while left and done < count:
            for kind in list(left):
                result = _next(each, waiting[kind], generator)
                if result is None:
                    left.remove(kind)
                elif done < count:
                    done += 1
                    yield result


def _next(subject: Subject, waiting: list[Make], generator: random.Random) -> Result | None:
    """The next edit that changes the results, compared; None where none is left."""
    while waiting:
        with _applied(waiting.pop(), generator) as edit:
            if edit is not None and _differs(subject.expected, subject.results()):
                return Result(subject.name, edit, compare_exports(subject.before, subject.record()).findings)
    return None


@contextmanager
def _applied(make_edit: Make, generator: random.Random) -> Iterator[Edit | None]:
    done = make_edit(generator)
    try:
        yield None if done is None else done[0]
    finally:
        if done is not None:
            done[1]()


def _differs(before: list[Any], after: list[Any] | None) -> bool:
    if after is None:
        return False
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return True
        if a.dtype.kind in "fc" and not np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True):
            return True
        if a.dtype.kind not in "fc" and not np.array_equal(a, b):
            return True
    return False


def _one(name: str, count: int, only: Collection[str]) -> None:
    """One line of JSON for each edit of a model."""
    exported = subject(name.partition(":")[0], dynamic=name.endswith(":dynamic"))
    for result in run(iter([exported]), count, only=only):
        told = [(finding.code, finding.module, finding.message) for finding in result.findings[:4]]
        edit = {"kind": result.edit.kind, "what": result.edit.what, "where": sorted(map(str, result.edit.right))}
        print(json.dumps({**edit, "found": result.found, "right": result.right, "told": told}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--edits", type=int, default=60, help="of each model")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS, help="kinds of edits; all otherwise")
    parser.add_argument("--show", action="store_true", help="print what was missed")
    parser.add_argument("--one", action="store_true", help="edits of one model as JSON lines")
    given = parser.parse_args()
    if given.one:
        _one(given.models[0], given.edits, given.kinds)
        return
    total: Counter[str] = Counter()
    print("| model | edits | found | right module |\n|---|---|---|---|")
    for name in given.models or (*many_valued.MODELS, *kinds()):
        # In a process of its own, so that memory is given back.
        command = [sys.executable, "-m", "benchmarks.semantic_mutations", name, "--one", "--edits", str(given.edits)]
        command += ["--kinds", *given.kinds]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        counts: Counter[str] = Counter()
        for edit in rows:
            for what in ("edits", "found", "right"):
                counts.update({f"{edit['kind']} {what}": int(edit.get(what, 1)), what: int(edit.get(what, 1))})
            if given.show and not (edit["found"] and edit["right"]):
                print("   ", json.dumps(edit), file=sys.stderr, flush=True)
        total += counts
        why = f" (the process ended: {done.stderr.strip().splitlines()[-1][:80]})" if done.returncode else ""
        print(f"| {name} | {counts['edits']}{why} | {counts['found']} | {counts['right']} |", flush=True)
    for kind in ("", *KINDS):
        made, found, right = (total[f"{kind} {what}".strip()] for what in ("edits", "found", "right"))
        shares = (f"{100 * count / (made or 1):.2f}%" for count in (found, right))
        print(f"| **{kind or 'all'}** | {made} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
