"""``htp show FILE``: a baseline, a metadata file or any ``.onnx`` as a module tree, as data, or for Model Explorer."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from msgspec import to_builtins

from pytest_htp.cli.facts import OVERLAYS, ModuleFacts
from pytest_htp.cli.sources import Shown, read
from pytest_htp.errors import HTPUsageError
from pytest_htp.monitor.text import symbols_for
from pytest_htp.monitor.tree import text_lines
from pytest_htp.text import inert, percent, plural


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("show", help="show a baseline, metadata file or .onnx as a tree")
    parser.add_argument("file", metavar="FILE", help="baseline .json, *_htp_metadata.json, or .onnx")
    parser.add_argument("--depth", type=_positive, help="levels to show (default: all)")
    parser.add_argument("--rows", type=_positive, help="modules to show (default: all)")
    parser.add_argument("--format", choices=("text", "json", "model-explorer"), default="text")
    parser.add_argument(
        "--overlay", choices=OVERLAYS, default="tag", help="model-explorer: what nodes are coloured by (default: tag)"
    )
    parser.add_argument("--facts", metavar="BASELINE", help="model-explorer: where SQNR and placement are known")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.format == "model-explorer":
        from pytest_htp.cli.overlays import node_data  # onnx: 0.5 s

        if arguments.file.lower().endswith(".json"):
            raise HTPUsageError(f"{arguments.file}: Model Explorer shows graphs: give the .onnx, and this as --facts")
        facts = read(arguments.facts).facts if arguments.facts is not None else {}
        print(json.dumps(node_data(arguments.file, arguments.overlay, facts), indent=2))
        return 0
    shown = read(arguments.file)
    if arguments.format == "json":
        print(json.dumps(_values(shown), indent=2))
        return 0
    print(inert(arguments.file))
    print(_summary(shown))
    encoding = sys.stdout.encoding or "utf-8"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None  # names that are read on stay whole
    lines = text_lines(
        shown.tree, max_depth=arguments.depth, max_rows=arguments.rows, symbols=symbols_for(encoding),
        encoding=encoding, width=width,
    )  # fmt: skip
    for line in lines:
        print(line)
    return 0


def _values(shown: Shown) -> dict[str, object]:
    """``{"kind", "nodes", "coverage", "direct_coverage", "modules": [{"path", "class", "nodes", "evidence", …}]}``."""
    modules = []
    for row in shown.tree.rows:
        own = {"path": row.path, "class": row.class_name, "nodes": row.nodes, "evidence": dict(row.evidence)}
        modules.append(own | to_builtins(shown.facts.get(row.path, ModuleFacts())))
    return {
        "kind": shown.kind,
        "nodes": shown.nodes,
        "coverage": shown.coverage,
        "direct_coverage": shown.direct_coverage,
        "modules": modules,
    }


def _summary(shown: Shown) -> str:
    parts = [inert(shown.kind)]
    if shown.nodes is not None:
        parts.append(plural(shown.nodes, "node"))
    if shown.coverage is not None:
        parts.append(f"coverage {percent(shown.coverage)}")
    if shown.direct_coverage is not None:
        parts.append(f"direct {percent(shown.direct_coverage)}")
    return ", ".join(parts)


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() and len(text) < 10 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return number
