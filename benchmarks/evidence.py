"""Measure how right the data-flow rules are, and write ``docs/reference/inference-rules.md``.

    python benchmarks/evidence.py [--only NAME ...] [--output FILE]

Leave one out: of every FX node whose module the exporter recorded, all ONNX nodes are made to forget it, and
each rule of :class:`DataFlowPass` says where they belong, knowing all other nodes. Nodes made of several
modules have no single truth and are left out. Nodes in control-flow bodies are measured where they read a
parameter, which tells their module.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.architectures import make  # noqa: E402
from pytest_htp.capture.engines import EngineRequest, select_engine  # noqa: E402
from pytest_htp.capture.hierarchy import watch_forward  # noqa: E402
from pytest_htp.capture.inputs.prepare import make_inputs  # noqa: E402
from pytest_htp.capture.marks import marks_of  # noqa: E402
from pytest_htp.capture.parameters import shared_parameters  # noqa: E402
from pytest_htp.capture.provenance import ProvenanceObserver  # noqa: E402
from pytest_htp.tagging.coverage import Evidence  # noqa: E402
from pytest_htp.tagging.facts import GraphFacts, NodeFacts  # noqa: E402
from pytest_htp.tagging.passes import DataFlowPass  # noqa: E402
from pytest_htp.tagging.stacks import traced_calls  # noqa: E402
from pytest_htp.tagging.tagger import tag_graph  # noqa: E402

ARCHITECTURES = (
    "albert", "bart", "bert", "bloom", "branches", "chinese_clip", "convnet", "convnext", "deberta_v2",
    "detr", "deit", "distilbert", "gemma3", "gpt2", "levit", "llama", "mamba", "mixtral", "mobilevit", "modernbert",
    "nest", "qwen2_moe", "recurrent", "resnet", "segformer", "t5", "vit", "wav2vec2", "whisper",
    "xlnet",
)  # fmt: skip
OUTCOMES = ("exact", "enclosing", "inside", "wrong")
PROGRAM_ORDER = "program order"
REQUIRED = 99.0  # percent exact or enclosing, of the nodes a rule decides

Counts = Counter[tuple[str, str]]
INTRODUCTION = """\
# How right the inference rules are

Written by `python benchmarks/evidence.py`; don't edit.

A node that carries no record is looked up in the exported program. Where that is silent too, rules place
it by the nodes around it. Each rule was measured by leave-one-out: every FX node whose module is known
forgets it, and the rule says where its nodes belong. *Exact* is the module itself, *enclosing* a module
around it (true, but less precise), *inside* one of its children, *wrong* anything else. A rule is used only
if at least 99% of what it decides is exact or enclosing, and it decides only where the rules above it are
silent.
"""


def outcome(guess: str, truth: str) -> str:
    """How a guessed module relates to the true one."""
    if guess == truth:
        return "exact"
    if not guess or truth.startswith(f"{guess}."):
        return "enclosing"
    return "inside" if not truth or guess.startswith(f"{truth}.") else "wrong"


def held_out(graph: GraphFacts) -> Iterator[list[NodeFacts]]:
    """The ONNX nodes of one FX node after the other, while they are undecided."""
    groups: dict[tuple[int, ...], list[NodeFacts]] = {}
    for facts in graph.nodes:
        marks = marks_of(facts.node)
        owned = facts.rule == "body" and any(
            value is not None and graph.parameter_names(value) for value in facts.node.inputs
        )
        if len(marks) == 1 and (facts.evidence is Evidence.DIRECT or owned):
            groups.setdefault(marks, []).append(facts)
    for group in groups.values():
        truth = [facts.path for facts in group]
        for facts in group:
            facts.path = None
        yield group
        for facts, path in zip(group, truth, strict=True):
            facts.path = path


def measure(graph: GraphFacts) -> tuple[Counts, Counts]:
    """Outcomes by (rule, outcome): each rule by itself, and as used, where those before it are silent."""
    alone: Counts = Counter()
    used: Counts = Counter()
    dataflow = DataFlowPass()
    truths = {id(facts): facts.path for facts in graph.nodes}
    for group in held_out(graph):
        alone["dataflow", "held out"] += len(group)
        used["dataflow", "held out"] += len(group)
        for connected in dataflow._groups(graph):
            if not any(facts in group for facts in connected):
                continue  # lost for real, elsewhere in the graph
            for rule in (None, *DataFlowPass.rules):
                placed = dataflow.place(graph, connected) if rule is None else dataflow.place(graph, connected, (rule,))
                for facts in connected if placed is not None else ():
                    truth = truths[id(facts)]
                    if truth is not None and placed is not None:
                        counts = used if rule is None else alone
                        counts[placed[1], outcome(placed[0], truth)] += 1
    return alone, used


def measure_program_order(graph: GraphFacts) -> Counts:
    """Outcomes of the program's own rule: each recorded FX node of the main graph is left out in turn."""
    assert graph.provenance is not None
    assert graph.provenance.program is not None
    recorded = [
        origin.frames
        for (scope, _), origin in graph.provenance.program.origins.items()
        if not scope and origin.rule == "program" and origin.frames
    ]
    counts: Counts = Counter()
    for before, frames, after in zip(recorded, recorded[1:], recorded[2:], strict=False):
        counts[PROGRAM_ORDER, "held out"] += 1
        if before == after:
            counts[PROGRAM_ORDER, outcome(before[-1].path, frames[-1].path)] += 1
    return counts


def graph_of(name: str, *, dynamic: bool) -> GraphFacts:
    """Export and tag one architecture."""
    model, inputs = make(name)
    prepared = make_inputs(model, inputs)
    args, kwargs = prepared.copies()
    hierarchy = watch_forward(model, args, kwargs, keep_tensors=False)
    observer = ProvenanceObserver()
    args, kwargs = prepared.copies()
    request = EngineRequest(model=model, args=args, kwargs=kwargs, dynamic=dynamic)
    with contextlib.redirect_stdout(io.StringIO()):
        program = select_engine("auto", model).export(request, observer)
    hierarchy.follow(traced_calls(observer.provenance.program, hierarchy.modules))
    return tag_graph(program, hierarchy.modules, observer.provenance, shared_parameters=shared_parameters(model)).graph


def render(alone: Counts, used: Counts, names: list[str]) -> str:
    """The committed page. Counts hold what was held out under the outcome ``held out``."""
    held = used["dataflow", "held out"]
    lines = [
        INTRODUCTION,
        f"{len(names)} architectures, static and dynamic; {held:,} ONNX nodes held out"
        f" (for `{PROGRAM_ORDER}` {used[PROGRAM_ORDER, 'held out']:,} FX nodes).",
        "",
        *_table("As used, in order", used, (PROGRAM_ORDER, *DataFlowPass.rules)),
        *_table("Each rule by itself", alone, DataFlowPass.rules),
        "What the rules say is in the docstrings of `ExportedProgramPass` and `DataFlowPass` in",
        "`pytest_htp.tagging.passes`.",
        "",
        f"Architectures: {', '.join(names)}.",
        "",
    ]
    return "\n".join(lines)


def _table(title: str, counts: Counts, rules: Iterable[str]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| rule | decided | exact | enclosing | inside | wrong | exact or enclosing |",
    ]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    for rule in rules:
        total = counts[rule if rule == PROGRAM_ORDER else "dataflow", "held out"]
        decided = sum(counts[rule, name] for name in OUTCOMES)
        shares = [100 * counts[rule, name] / decided if decided else 0.0 for name in OUTCOMES]
        cells = [f"{share:.2f}%" for share in (*shares, shares[0] + shares[1])] if decided else ["–"] * 5
        lines.append(f"| {rule} | {decided:,} ({100 * decided / total:.1f}%) | {' | '.join(cells)} |")
    return [*lines, ""]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the data-flow rules by leave-one-out.")
    parser.add_argument("--only", nargs="*", help="architectures to measure (the page needs all)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "reference" / "inference-rules.md")
    options = parser.parse_args(arguments)
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    alone: Counts = Counter()
    used: Counts = Counter()
    names = list(options.only or ARCHITECTURES)
    for name in names:
        for dynamic in (False, True):
            graph = graph_of(name, dynamic=dynamic)
            by_itself, in_order = measure(graph)
            in_order += measure_program_order(graph)
            alone += by_itself
            used += in_order
            wrong = {rule: n for (rule, kind), n in in_order.items() if kind in ("inside", "wrong")}
            print(
                f"{name}{' dynamic' if dynamic else ''}: not exact or enclosing: {wrong}",
                flush=True,
            )
    page = render(alone, used, names)
    if options.only:
        print(page)
    else:
        options.output.write_text(page, encoding="utf-8")
    for rule in (PROGRAM_ORDER, *DataFlowPass.rules):
        decided = sum(used[rule, kind] for kind in OUTCOMES)
        right = used[rule, "exact"] + used[rule, "enclosing"]
        if decided and 100 * right / decided < REQUIRED:
            sys.exit(f"rule {rule!r} is right for {right} of {decided} nodes; it must be tightened or go")


if __name__ == "__main__":
    main()
