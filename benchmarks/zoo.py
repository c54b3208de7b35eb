"""Tag the whole zoo, static and dynamic, and write ``docs/reference/zoo.md``: what every node's tag stands on.

    python benchmarks/zoo.py [--only NAME ...] [--cache FILE] [--output FILE]

Rows are kept in the cache file (JSON lines, in the temporary directory unless named), so an interrupted run
goes on where it stopped; delete it to measure again. Exports run in a child process that is replaced when it
dies, so one architecture that fails or crashes costs its own row only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

Row = dict[str, Any]
LIMIT = 300  # seconds of CPU time that one export may take; the slowest one that ends takes about a third


def measure(name: str, *, dynamic: bool) -> Row:
    """Export and tag one architecture; one row of the report."""
    from benchmarks.architectures import make
    from pytest_htp.capture.engines import EngineRequest, select_engine
    from pytest_htp.capture.hierarchy import class_name_of, watch_forward
    from pytest_htp.capture.inputs.prepare import make_inputs
    from pytest_htp.capture.parameters import shared_parameters
    from pytest_htp.capture.provenance import ProvenanceObserver
    from pytest_htp.tag import HierarchyTag
    from pytest_htp.tagging.embed import embed_tags
    from pytest_htp.tagging.stacks import traced_calls
    from pytest_htp.tagging.tagger import tag_graph

    model, inputs = make(name)
    prepared = make_inputs(model, inputs)
    args, kwargs = prepared.copies()
    hierarchy = watch_forward(model, args, kwargs, keep_tensors=False)
    args, kwargs = prepared.copies()
    observer = ProvenanceObserver()
    request = EngineRequest(model=model, args=args, kwargs=kwargs, dynamic=dynamic)
    started = time.perf_counter()
    program = select_engine("auto", model).export(request, observer)
    exported = time.perf_counter()
    provenance = observer.provenance
    hierarchy.follow(traced_calls(provenance.program, hierarchy.modules))
    tagging = tag_graph(program, hierarchy.modules, provenance, shared_parameters=shared_parameters(model))
    embed_tags(tagging, "htp")
    tagged = time.perf_counter()

    classes = {path: class_name_of(module) for path, module in model.named_modules(remove_duplicate=False)}
    tags = [HierarchyTag.parse(tag) for tag in tagging.tags.values()]
    joined = [facts for facts in tagging.nodes if len({s[-1] for _, s in tagging.graph.origin_stacks(facts)}) > 1]
    coverage = tagging.coverage
    return {
        "name": name,
        "dynamic": dynamic,
        "nodes": coverage.total_nodes,
        "direct": coverage.direct,
        "fused": coverage.fused,
        "inferred": coverage.inferred,
        "none": coverage.none,
        "at_root": sum(facts.path == "" for facts in tagging.nodes),
        "executed": len(hierarchy.executed),
        "tags": len(set(tagging.tags.values())),
        "origins": sum(len(facts.origins) for facts in tagging.nodes if facts.evidence == "fused"),
        "missed_fusions": sum(facts.evidence != "fused" for facts in joined),
        "foreign_tags": sum(classes.get(tag.module_path) != tag.classes[-1] for tag in tags),
        "rules": dict(Counter(f"{facts.evidence} {facts.rule or ''}".strip() for facts in tagging.nodes)),
        "causes": dict(Counter(cause_of(facts) for facts in tagging.nodes if facts.path is None)),
        "uneven": uneven_layers(tagging),
        "unobserved": provenance.unobserved,
        "export_seconds": exported - started,
        "tag_seconds": tagged - exported,
    }


def cause_of(facts: Any) -> str:
    """Why a node has no tag, in words."""
    node = facts.node
    passes = node.inputs[0].is_graph_input() and node.outputs[0].is_graph_output() if node.inputs else False
    if node.op_type == "Identity" and passes:
        return "an input returned as an output: the Identity between them belongs to no module"
    return f"{node.op_type} without record, neighbours or origin"


def uneven_layers(tagging: Any) -> list[str]:
    """Repeated modules (paths that differ in one index, of one class) whose own operators differ."""
    own: dict[str, Counter[str]] = {}
    for facts in tagging.nodes:
        if facts.path is not None:
            own.setdefault(facts.path, Counter())[facts.node.op_type] += 1
    groups: dict[tuple[str, str], set[frozenset[tuple[str, int]]]] = {}
    for path, info in tagging.graph.modules.items():
        parts = path.split(".")
        for position, part in enumerate(parts):
            if part.isdecimal() and info.executed:
                pattern = ".".join([*parts[:position], "*", *parts[position + 1 :]])
                operators = frozenset(own.get(path, Counter()).items())
                groups.setdefault((pattern, info.class_name), set()).add(operators)
    return sorted(pattern for (pattern, _), operators in groups.items() if len(operators) > 1)


def work(names: list[tuple[str, bool]], cache: Path) -> None:
    """In the child process: measure each and append its row."""
    logging.disable(logging.ERROR)
    signal.signal(signal.SIGPROF, _too_long)
    warnings.simplefilter("ignore")
    for name, dynamic in names:
        _append(cache, {"name": name, "dynamic": dynamic, "started": True})
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                row = measure(name, dynamic=dynamic)
        except (Exception, _TooLong) as error:
            text = " ".join(str(error.__cause__ or error).split())
            row = {"name": name, "dynamic": dynamic, "error": f"{type(error).__name__}: {text[:160]}"}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _append(cache, row)


class _TooLong(BaseException):
    """No ``Exception``, because exporters catch those to try again in another way."""


def _too_long(*_: object) -> None:
    raise _TooLong(f"took more than {LIMIT} s of CPU time")


def collect(names: list[tuple[str, bool]], cache: Path) -> list[Row]:
    """All rows, measured in child processes where the cache doesn't have them."""
    while True:
        for key, row in _read(cache).items():
            if row.get("started"):
                _append(cache, {"name": key[0], "dynamic": key[1], "error": "the process died"})
        rows = _read(cache)
        todo = [f"{key[0]}{'+dynamic' if key[1] else ''}" for key in names if key not in rows]
        if not todo:
            return [rows[key] for key in names]
        command = [sys.executable, __file__, "--cache", str(cache), "--work", *todo]
        subprocess.run(command, check=False, cwd=ROOT)


def _append(cache: Path, row: Row) -> None:
    with cache.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _read(cache: Path) -> dict[tuple[str, bool], Row]:
    lines = cache.read_text("utf-8").splitlines() if cache.exists() else []
    return {(row["name"], row["dynamic"]): row for row in map(json.loads, lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", help="architectures to measure (the report needs all)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "htp-zoo.jsonl")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "reference" / "zoo.md")
    parser.add_argument("--work", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(
            [(item.removesuffix("+dynamic"), item.endswith("+dynamic")) for item in options.work],
            options.cache,
        )
        return

    from benchmarks.architectures import kinds

    chosen = [(name, dynamic) for name in options.only or kinds() for dynamic in (False, True)]
    rows = collect(chosen, options.cache)
    for row in rows:
        for problem in ("error", "foreign_tags", "missed_fusions", "unobserved", "causes", "uneven"):
            if row.get(problem):
                print(f"{row['name']}{' dynamic' if row['dynamic'] else ''}: {problem}: {row[problem]}")
    if not options.only:
        from benchmarks.zoo_report import render

        options.output.write_text(render(rows, kinds()), encoding="utf-8")
        print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
