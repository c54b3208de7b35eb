"""Single edits of ONNX graphs that change what is computed: does comparing the records say so, and where?

``python -m benchmarks.semantic_mutations [--edits N] [MODEL ...]`` exports each model once (parity off), makes edits
one at a time (operands or outputs exchanged, an edge moved, an attribute, a permutation, a constant), keeps those
that change ONNX Runtime's results, and compares the records before and after. A finding is in the right module if
it names the module of the edited node, or, where a value that crosses modules was exchanged, one that hands it on:
the graph does not say which of them decided.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from benchmarks.architectures import kinds, make
from pytest_htp.compare import Finding, compare_exports
from pytest_htp.describe.build import RecordSource, build_record
from pytest_htp.describe.fingerprint import made_by_rewriting
from pytest_htp.format.paths import expand_pattern
from pytest_htp.format.serialize import dict_of
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.tagger import Tagging

Undo = Callable[[], None]
_FEW = 64  # elements of a constant that is edited in one place; a larger one is rolled


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
        return dict_of(
            build_record(
                RecordSource(
                    tagging=self.tagging, model_class=self.name, exporter="torch", total_parameters=0, parameters={},
                    toolchain={}, named_outputs=False,
                )
            )
        )  # fmt: skip

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


@dataclass(frozen=True)
class Edit:
    """One edit: what was done, to which node, and where a finding may rightly be."""

    kind: str
    what: str
    right: frozenset[str | None]


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
    """Export a model of the zoo."""
    model, inputs = make(name)
    return subject_of(model, inputs, name + (" dynamic" if dynamic else ""), dynamic=dynamic)


def subject_of(model: Any, inputs: Any, name: str, **options: Any) -> Subject:
    """Export a model and keep its tagging, which no result holds."""
    import torch

    from pytest_htp import HTPExporter
    from pytest_htp.exporter import verification as module

    torch.manual_seed(0)
    kept: list[Tagging] = []
    original = module.build_record

    def keep(source: RecordSource) -> Any:
        kept.append(source.tagging)
        return original(source)

    module.build_record = keep
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            HTPExporter(parity=False, **options).export(model, inputs, Path(folder) / "model.onnx")
    finally:
        module.build_record = original
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


def run(subjects: Iterator[Subject], count: int, seed: int = 0) -> Iterator[Result]:
    """Up to ``count`` edits of each model that change its results."""
    for each in subjects:
        generator = random.Random(f"{seed} {each.name}")
        edits = list(_edits(each))
        generator.shuffle(edits)
        made = 0
        for edit_one in edits:
            if made >= count:
                break
            with _applied(edit_one, generator) as edit:
                if edit is None or not _differs(each.expected, each.results()):
                    continue
                made += 1
                yield Result(each.name, edit, compare_exports(each.before, each.record()).findings)


@contextmanager
def _applied(
    make: Callable[[random.Random], tuple[Edit, Undo] | None], generator: random.Random
) -> Iterator[Edit | None]:
    done = make(generator)
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


Make = Callable[[random.Random], "tuple[Edit, Undo] | None"]


def _edits(subject: Subject) -> Iterator[Make]:
    graph = subject.tagging.graph
    for facts in graph.nodes:
        node = facts.node
        for name in node.attributes:
            yield lambda g, f=facts, n=name: _edit_attribute(f, n, g)
        real = [place for place, value in enumerate(node.inputs) if value is not None]
        for place in real:
            value = node.inputs[place]
            assert value is not None
            if value.const_value is not None and value.producer() is None:
                # A parameter, and what a rewrite folded of some (Conv with BatchNorm), is data: no edit of the program.
                if not (graph.parameter_names(value) or made_by_rewriting(value)):
                    yield lambda g, f=facts, p=place: _edit_constant(subject, f, p, g)
            else:
                yield lambda g, f=facts, p=place: _edit_edge(subject, f, p, g)
        for first in real:
            for second in real:
                if first < second:
                    yield lambda g, f=facts, a=first, b=second: _exchange_inputs(subject, f, a, b)
        if len(node.outputs) > 1:
            yield lambda g, f=facts: _exchange_outputs(subject, f)


def _edit_attribute(facts: NodeFacts, name: str, generator: random.Random) -> tuple[Edit, Undo] | None:
    node, old = facts.node, facts.node.attributes[name]
    new: ir.Attr | None = None
    if old.type == ir.AttributeType.INT:
        new = ir.AttrInt64(name, old.value + generator.choice([-1, 1]))
    elif old.type == ir.AttributeType.FLOAT:
        new = ir.AttrFloat32(name, old.value * 1000 + 0.5)
    elif old.type == ir.AttributeType.INTS and old.value:
        values = list(old.value)
        if name == "perm" and len(values) > 1:
            a, b = generator.sample(range(len(values)), 2)
            values[a], values[b] = values[b], values[a]
        else:
            values[generator.randrange(len(values))] += 1
        new = ir.AttrInt64s(name, values)
    elif old.type == ir.AttributeType.STRING:
        others = {"none": "tanh", "tanh": "none", "forward": "reverse", "reverse": "forward", "nearest": "linear",
                  "floor": "ceil", "asymmetric": "half_pixel"}  # fmt: skip
        new = ir.AttrString(name, others.get(str(old.value), "tanh"))
    if new is None:
        return None
    node.attributes[name] = new

    def undo() -> None:
        node.attributes[name] = old

    return Edit("attribute", f"{facts.key} {name}", frozenset({facts.path})), undo


def _edit_constant(
    subject: Subject, facts: NodeFacts, place: int, generator: random.Random
) -> tuple[Edit, Undo] | None:
    node, value = facts.node, facts.node.inputs[place]
    assert value is not None
    assert value.const_value is not None
    array = np.array(value.const_value.numpy())
    if array.size == 0 or array.dtype.kind not in "fiub":
        return None
    flat = array.reshape(-1)
    spot = generator.randrange(flat.size)
    if array.dtype.kind == "b":
        flat[spot] = not flat[spot]
    elif array.size > _FEW:
        flat[:] = np.roll(flat, 1)
    else:
        flat[spot] = flat[spot] * 2 + 1 if array.dtype.kind == "f" else flat[spot] + 1
    tensor = ir.tensor(array, name=f"{value.name}_edited")
    fresh = ir.Value(name=tensor.name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape)
    model = subject.tagging.graph.model
    model.graph.register_initializer(fresh)
    node.replace_input_with(place, fresh)

    def undo() -> None:
        node.replace_input_with(place, value)
        model.graph.initializers.pop(fresh.name)

    return Edit("constant", f"{facts.key} input {place}", frozenset({facts.path})), undo


def _edit_edge(subject: Subject, facts: NodeFacts, place: int, generator: random.Random) -> tuple[Edit, Undo] | None:
    """The node reads another value of the same type and shape that was made before."""
    node, old = facts.node, facts.node.inputs[place]
    assert old is not None
    candidates = [*subject.tagging.graph.model.graph.inputs]
    for other in subject.tagging.graph.nodes:
        if other.node is node:
            break
        if other.node.graph is node.graph:
            candidates += other.node.outputs
    alike = [v for v in candidates if v is not old and v.dtype == old.dtype and _shape(v) == _shape(old) is not None]
    if not alike:
        return None
    new = generator.choice(alike)
    node.replace_input_with(place, new)
    right = _hands(subject, facts, old, new)
    return Edit("edge", f"{facts.key} input {place}", right), lambda: node.replace_input_with(place, old)


def _shape(value: ir.Value) -> list[str] | None:
    return None if value.shape is None else [str(dim) for dim in value.shape]


def _exchange_inputs(subject: Subject, facts: NodeFacts, first: int, second: int) -> tuple[Edit, Undo] | None:
    node = facts.node
    a, b = node.inputs[first], node.inputs[second]
    if a is b or a is None or b is None or a.dtype != b.dtype:
        return None

    def put(x: ir.Value, y: ir.Value) -> None:
        node.replace_input_with(first, x)
        node.replace_input_with(second, y)

    put(b, a)
    return Edit("operands", f"{facts.key} {first}, {second}", _hands(subject, facts, a, b)), lambda: put(a, b)


def _exchange_outputs(subject: Subject, facts: NodeFacts) -> tuple[Edit, Undo] | None:
    """What read the first output reads the second, and the other way round."""
    a, b = facts.node.outputs[:2]
    if a.dtype != b.dtype:
        return None
    graph = subject.tagging.graph
    uses = [(use.node, use.idx, value) for value in (a, b) for use in value.uses()]
    if not uses:
        return None

    def put(swap: bool) -> None:
        for node, place, value in uses:
            node.replace_input_with(place, {a: b, b: a}[value] if swap else value)

    put(True)
    right: set[str | None] = {facts.path}
    for node, _, _ in uses:
        reader = graph.by_node[node]
        right |= _hands(subject, reader, a, b)
    return Edit("outputs", facts.key, frozenset(right)), lambda: put(False)


def _hands(subject: Subject, facts: NodeFacts, *values: ir.Value) -> frozenset[str | None]:
    """The modules that decide what a node reads: its own, and those on the way to the modules that made the values."""
    graph = subject.tagging.graph
    paths = {facts.path}
    foreign = False
    for value in values:
        producer = value.producer()
        maker = graph.by_node.get(producer) if producer is not None else None
        paths.add(maker.path if maker is not None else "")
        foreign |= (maker.path if maker is not None else "") != facts.path and value.const_value is None
    if not foreign or facts.path is None:
        return frozenset({facts.path})
    common = graph.deepest_common(path for path in paths if path is not None)
    chain = graph.call_path(facts.path)
    return frozenset(chain[chain.index(common) :] if common in chain else chain)


KINDS = ("attribute", "constant", "edge", "operands", "outputs")


def _one(name: str, count: int) -> None:
    """One line of JSON for each edit of a model."""
    for result in run(iter([subject(name.partition(":")[0], dynamic=name.endswith(":dynamic"))]), count):
        told = [(finding.code, finding.module, finding.message) for finding in result.findings[:4]]
        edit = {"kind": result.edit.kind, "what": result.edit.what, "where": sorted(map(str, result.edit.right))}
        print(json.dumps({**edit, "found": result.found, "right": result.right, "told": told}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--edits", type=int, default=60, help="of each model")
    parser.add_argument("--show", action="store_true", help="print what was missed")
    parser.add_argument("--one", action="store_true", help="edits of one model as JSON lines")
    given = parser.parse_args()
    if given.one:
        _one(given.models[0], given.edits)
        return
    total: Counter[str] = Counter()
    print("| model | edits | found | right module |\n|---|---|---|---|")
    for name in given.models or kinds():
        # In a process of its own, so that memory is given back.
        command = [sys.executable, "-m", "benchmarks.semantic_mutations", name, "--one", "--edits", str(given.edits)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        edits = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        counts: Counter[str] = Counter()
        for edit in edits:
            for what in ("edits", "found", "right"):
                counts.update({f"{edit['kind']} {what}": int(edit.get(what, 1)), what: int(edit.get(what, 1))})
            if given.show and not (edit["found"] and edit["right"]):
                print("   ", json.dumps(edit), file=sys.stderr, flush=True)
        total += counts
        why = f" (the process ended: {done.stderr.strip().splitlines()[-1][:80]})" if done.returncode else ""
        print(f"| {name} | {counts['edits']}{why} | {counts['found']} | {counts['right']} |", flush=True)
    for kind in ("", *KINDS):
        edits, found, right = (total[f"{kind} {what}".strip()] for what in ("edits", "found", "right"))
        print(
            f"| **{kind or 'all'}** | {edits} | {100 * found / (edits or 1):.2f}% | {100 * right / (edits or 1):.2f}% |"
        )


if __name__ == "__main__":
    main()
