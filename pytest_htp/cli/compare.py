"""``htp compare OLD NEW``: exit 0 nothing at or above ``--fail-on``, 1 findings, 2 bad input.

Each of the two is a baseline or an ``.onnx`` file from anywhere. Baselines alone are compared without onnx.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
from textwrap import wrap
from typing import TYPE_CHECKING

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Comparison
from pytest_htp.compare.markdown import render_markdown
from pytest_htp.compare.message import render_failure
from pytest_htp.compare.policy import Policy
from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.cycles import no_search_for_cycles
from pytest_htp.format.given import MAX_ONNX, ONNX_START, read_given
from pytest_htp.format.load import loads_record
from pytest_htp.format.record import Record
from pytest_htp.text import inert, markdown

if TYPE_CHECKING:
    from pytest_htp.files.load import OnnxFile


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("compare", help="say what changed between two .onnx files or baselines")
    parser.add_argument("old", metavar="OLD", help="a baseline or .onnx file")
    parser.add_argument("new", metavar="NEW", help="a later one, of either kind")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    parser.add_argument(
        "--fail-on", choices=VERDICTS[:-1], default="drift", metavar="VERDICT",
        help=f"mildest verdict that exits with 1: {', '.join(VERDICTS[:-1])} (default: drift)",
    )  # fmt: skip
    parser.add_argument("--policy", default="", help="other verdicts: 'ops.changed:ignore opset.changed:drift'")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    policy = Policy.parse(arguments.policy)
    with no_search_for_cycles():
        comparison, notes = _compared(arguments.old, arguments.new, policy)
        gc.freeze()  # graphs are full of cycles; they end with the process, which need not look for them
    name = f"{arguments.old} -> {arguments.new}"
    print(_FORMATS[arguments.format](comparison, name, arguments.fail_on, notes))
    return 1 if comparison.at_or_above(arguments.fail_on) else 0


def _compared(old_path: str, new_path: str, policy: Policy) -> tuple[Comparison, list[str]]:
    old, new = (_read(path) for path in (old_path, new_path))
    if isinstance(old, Record) and isinstance(new, Record):
        return compare_exports(old, new, policy=policy), []
    from pytest_htp.files.compare import compare_files  # onnx and numpy: 0.5 s

    found = compare_files(old, new, policy)
    return found.comparison, found.notes


def _read(path: str) -> Record | OnnxFile:
    """A baseline's values, or a model. What a file is, its first byte says: a pipe's name says nothing."""
    content = None if path.lower().endswith(".onnx") else read_given(path, MAX_ONNX)
    if content is not None and not content.startswith(ONNX_START):
        return loads_record(content, source=path)
    from pytest_htp.files.load import load_onnx

    return load_onnx(path, content)


def _text(comparison: Comparison, name: str, fail_on: str, notes: list[str]) -> str:
    width = min(shutil.get_terminal_size((80, 24)).columns, 120)
    text = render_failure(comparison, name=name, fail_on=fail_on, width=width, limit=None)
    return "\n".join([text, *(line for note in notes for line in wrap(f"note: {inert(note)}", width))])


def _json(comparison: Comparison, name: str, fail_on: str, notes: list[str]) -> str:
    return json.dumps({**comparison.to_dict(), "fail_on": fail_on, "notes": notes}, indent=2, sort_keys=True)


def _markdown(comparison: Comparison, name: str, fail_on: str, notes: list[str]) -> str:
    return "\n".join([render_markdown(comparison, name, fail_on), *(f"\nNote: {markdown(note)}" for note in notes)])


_FORMATS = {"text": _text, "json": _json, "md": _markdown}
