"""``htp compare OLD NEW``: exit 0 nothing at or above ``--fail-on``, 1 findings, 2 bad input."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import Any

from pytest_htp.cli.given import read_given
from pytest_htp.compare import Comparison, compare_exports, render_failure
from pytest_htp.compare.markdown import render_markdown
from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.format.load import loads


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    parser = subparsers.add_parser("compare", help="say what changed between two baselines")
    parser.add_argument("old", metavar="OLD", help="a baseline file")
    parser.add_argument("new", metavar="NEW", help="a baseline file of a later export")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    parser.add_argument(
        "--fail-on", choices=VERDICTS[:-1], default="drift", metavar="VERDICT",
        help=f"mildest verdict that exits with 1: {', '.join(VERDICTS[:-1])} (default: drift)",
    )  # fmt: skip
    parser.add_argument("--policy", default="", help="other verdicts: 'ops.changed:ignore opset.changed:drift'")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    old, new = (loads(read_given(path), source=path) for path in (arguments.old, arguments.new))
    comparison = compare_exports(old, new, policy=arguments.policy)
    name = f"{arguments.old} -> {arguments.new}"
    print(_FORMATS[arguments.format](comparison, name, arguments.fail_on))
    return 1 if comparison.at_or_above(arguments.fail_on) else 0


def _text(comparison: Comparison, name: str, fail_on: str) -> str:
    width = min(shutil.get_terminal_size((80, 24)).columns, 120)
    return render_failure(comparison, name=name, fail_on=fail_on, width=width, limit=None)


def _json(comparison: Comparison, name: str, fail_on: str) -> str:
    return json.dumps({**comparison.to_dict(), "fail_on": fail_on}, indent=2, sort_keys=True)


_FORMATS = {"text": _text, "json": _json, "md": render_markdown}
