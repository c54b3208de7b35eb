"""``htp show FILE``: a baseline, a metadata file or a tagged ``.onnx`` as a module tree."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import Any

from pytest_htp.cli.sources import Shown, read
from pytest_htp.compare.text import inert, percent
from pytest_htp.monitor.text import symbols_for
from pytest_htp.monitor.tree import text_lines


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("show", help="show a baseline, metadata file or tagged .onnx as a tree")
    parser.add_argument("file", metavar="FILE", help="baseline .json, *_htp_metadata.json, or .onnx")
    parser.add_argument("--depth", type=_positive, help="levels to show (default: all)")
    parser.add_argument("--rows", type=_positive, help="modules to show (default: all)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    shown = read(arguments.file)
    print(inert(arguments.file))
    print(_summary(shown))
    encoding = sys.stdout.encoding or "utf-8"
    lines = text_lines(
        shown.tree, max_depth=arguments.depth, max_rows=arguments.rows, symbols=symbols_for(encoding),
        encoding=encoding, width=shutil.get_terminal_size((80, 24)).columns,
    )  # fmt: skip
    for line in lines:
        print(line)
    return 0


def _summary(shown: Shown) -> str:
    parts = [inert(shown.kind)]
    if shown.nodes is not None:
        parts.append(f"{shown.nodes:,} node{'s' * (shown.nodes != 1)}")
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
