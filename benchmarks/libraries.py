"""Models of other libraries and of the zoo, random weights: the bare exporter against ours. Same success, same graph?

    python benchmarks/libraries.py                        # all; a table in Markdown
    python benchmarks/libraries.py 'torchvision.*' --seeds 3
    python benchmarks/libraries.py --rows FILE --table docs/reference/libraries.md

The libraries are in no extra of ours: torchvision, timm, diffusers, open_clip_torch, peft, ultralytics, torchao,
installed beside a CPU build of torch (torchvision's operators are then only declared, see ``timm_models.py``). What is
not installed is left out and named.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import fnmatch
import hashlib
import importlib.util
import itertools
import json
import logging
import multiprocessing
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnx
import onnx_ir as ir
import torch
from torch import nn

from benchmarks.library_models import cases
from benchmarks.timm_models import declare_operators
from pytest_htp import HTPExporter, HTPExportError
from pytest_htp.capture.engines.shapes import bound_arguments
from pytest_htp.capture.kinds import is_transformers_model

Row = dict[str, Any]


def _cpu() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def _digest(tensor: Any) -> str:
    content = onnx.numpy_helper.to_array(tensor)
    return f"{tensor.data_type} {content.shape} {hashlib.sha1(content.tobytes()).hexdigest()[:12]}"


def _nodes(graph: Any) -> Iterator[str]:
    for node in graph.node:
        attributes = []
        for attribute in sorted(node.attribute, key=lambda item: item.name):
            if attribute.HasField("g"):
                yield from (f"  {row}" for row in (*_nodes(attribute.g), *_values(attribute.g)))
            elif attribute.HasField("t"):
                attributes.append(f"{attribute.name}={_digest(attribute.t)}")
            else:
                attributes.append(f"{attribute.name}={onnx.helper.get_attribute_value(attribute)}")
        yield f"{node.domain}::{node.op_type} {list(node.input)} -> {list(node.output)} {attributes}"


def _values(graph: Any) -> Iterator[str]:
    for kind, values in (("in", graph.input), ("out", graph.output)):
        yield from (f"{kind} {value.name} {str(value.type).split()}" for value in values)
    yield from sorted(f"weight {tensor.name} {_digest(tensor)}" for tensor in graph.initializer)


def _graph(model: ir.Model) -> list[str]:
    """All of a graph but metadata: interface, nodes in order with names and attributes, weights with their bytes."""
    proto = ir.to_proto(model)
    rows = [f"opset {item.domain} {item.version}" for item in proto.opset_import]
    return [*rows, *_nodes(proto.graph), *_values(proto.graph)]


def _theirs(model: ir.Model) -> list[dict[str, str]]:
    """The metadata that the exporter wrote, of each node."""
    return [
        {
            key: text
            for key, text in node.metadata_props.items()
            if not key.startswith("htp.") and "stack_trace" not in key
        }
        for node in model.graph.all_nodes()
    ]


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".replace("|", "\\|")[:160]


def _bare(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ir.Model:
    if is_transformers_model(model):
        from transformers.exporters import OnnxConfig
        from transformers.exporters.exporter_onnx import OnnxExporter

        inputs = bound_arguments(model, args, kwargs) if args else kwargs
        done = OnnxExporter().export(model, dict(inputs), OnnxConfig(dynamic=False))
        return done.program if hasattr(done, "program") else done.model
    return torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, verbose=False).model


def one(name: str, seed: int) -> Row:
    """Both exports of one model, each of a copy of its own."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    declare_operators()
    torch.manual_seed(seed)
    model, args, kwargs = cases()[name]()
    with contextlib.suppress(NotImplementedError):  # a GraphModule of torch.export
        model.eval()
    row: Row = {"name": name, "seed": seed}
    bare = ours = None
    torch.onnx.export(nn.Linear(2, 2).eval(), (torch.ones(1, 2),), dynamo=True, verbose=False)  # what is read once
    mine = copy.deepcopy(model), copy.deepcopy(args), copy.deepcopy(kwargs)
    started = _cpu()
    try:
        bare = _bare(model, args, kwargs)
    except Exception as error:
        row["bare_error"] = _first_line(error)
    row["bare_seconds"] = round(_cpu() - started, 1)
    model, args, kwargs = mine
    with tempfile.TemporaryDirectory() as folder:
        started = _cpu()
        try:
            given = bound_arguments(model, args, kwargs) if args and kwargs else kwargs or args
            ours = HTPExporter(verbose=False).export(model, given, Path(folder) / "model.onnx")
        except HTPExportError as error:
            row["our_error"] = _first_line(error)
        row["our_seconds"] = round(_cpu() - started, 1)
        row["same_success"] = (bare is None) == (ours is None)
        if bare is not None and ours is not None:
            theirs, found = _graph(bare), _graph(ours.program)
            row["same_graph"] = theirs == found
            row["same_metadata"] = _theirs(bare) == _theirs(ours.program)
            if theirs != found:
                pairs = itertools.zip_longest(theirs, found)
                row["difference"] = [str(rows)[:300] for rows in pairs if rows[0] != rows[1]][:3]
                row["different_rows"] = sum(a != b for a, b in itertools.zip_longest(theirs, found))
    if ours is not None:
        stats = ours.data.tagging_stats
        row |= {"nodes": stats["total_nodes"], "coverage": stats["coverage"], "direct": stats["direct_coverage"]}
        row["parity"] = None if ours.parity is None or not ours.parity.measured else not ours.parity.failed
        attestation = ours.record.get("attestation") or {}
        row["attested"] = attestation.get("attested", 0)
        row["contradicted"] = list(attestation.get("contradicted", []))
    return row


def rows_of(names: list[str], seeds: int) -> Iterator[Row]:
    """Each model in a process of its own, forked from one that has torch loaded."""
    context = multiprocessing.get_context("fork")
    for name, seed in itertools.product(names, range(seeds)):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(sender, name, seed))
        process.start()
        sender.close()
        try:
            yield receiver.recv()
        except EOFError:
            yield {"name": name, "seed": seed, "broken": "the process died"}
        process.join()


def _send(sender: Any, name: str, seed: int) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        try:
            row = one(name, seed)
        except Exception as error:
            row = {"name": name, "seed": seed, "broken": _first_line(error)}
    sender.send(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--seeds", type=int, default=1, help="so many sets of weights")
    parser.add_argument(
        "--rows", type=Path, help="a file that keeps each row as a line of JSON; measured ones are kept"
    )
    parser.add_argument("--table", type=Path, help="write the table there (docs/reference/libraries.md)")
    options = parser.parse_args()
    names = [name for name in cases() if any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns)]
    missing = {name.partition(".")[0] for name in names if not _installed(name)}
    rows: list[Row] = []
    if options.rows and options.rows.exists():
        rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines()]
    measured = {row["name"] for row in rows}
    todo = [name for name in names if _installed(name) and name not in measured]
    for row in rows_of(todo, options.seeds):
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        if options.rows:
            with options.rows.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
    text = table(rows, sorted(missing))
    if options.table:
        options.table.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def _installed(name: str) -> bool:
    package = name.partition(".")[0]
    return package == "zoo" or importlib.util.find_spec(package) is not None


def _share(rows: list[Row], key: str) -> str:
    known = [row for row in rows if row.get(key) is not None]
    return f"{sum(bool(row[key]) for row in known)} of {len(known)}"


def table(rows: list[Row], missing: list[str]) -> str:
    """The page: totals, and a line for each model and seed."""
    ours = [row for row in rows if "nodes" in row]
    bare = sum("bare_error" not in row and "broken" not in row for row in rows)
    lines = [
        "# Models of other libraries",
        "",
        "Written by `python benchmarks/libraries.py --table docs/reference/libraries.md`; don't edit. Random weights,",
        "small images and configs. Each model is exported twice, from equal copies: by the bare exporter",
        "(`torch.onnx.export(dynamo=True)`; transformers' `OnnxExporter` for its own models), and by pytest-htp. The",
        "*same graph* has the same names, operators, attributes, edges and order of nodes, the same weights to the",
        "byte and the same interface; the exporter's own metadata on every node is compared too.",
        "",
        "## Totals",
        "",
        f"- {len(rows)} exports of {len({row['name'] for row in rows})} models.",
        f"- Same success: {_share(rows, 'same_success')} ({bare} succeed with the bare exporter).",
        f"- Same graph: {_share(rows, 'same_graph')}; same metadata of the exporter: {_share(rows, 'same_metadata')}.",
        f"- Outputs within tolerance in ONNX Runtime: {_share(ours, 'parity')}.",
        f"- Modules attested: {sum(row['attested'] for row in ours):,}, contradicted: "
        f"{sum(len(row['contradicted']) for row in ours)}.",
        *([f"- Not measured, not installed: {', '.join(missing)}."] if missing else []),
        "",
        "| model | bare exporter | pytest-htp | same graph | nodes | tagged | direct | contradicted | parity |",
        "|---|---|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        if "broken" in row:
            lines.append(f"| {row['name']} | could not be made: {row['broken']} | | | | | | | |")
            continue
        figures = [""] * 4
        if "nodes" in row:
            figures = [
                f"{row['nodes']:,}", f"{row['coverage']:.1f}%", f"{row['direct']:.1f}%", str(len(row["contradicted"])),
            ]  # fmt: skip
        said = [row["name"], row.get("bare_error", "exports"), row.get("our_error", "exports")]
        cells = [*said, _word(row.get("same_graph")), *figures, _word(row.get("parity"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "–"}[value]


if __name__ == "__main__":
    main()
