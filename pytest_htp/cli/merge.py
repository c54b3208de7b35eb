"""``htp merge DIR... -o OUT``: the reports of CI shards as one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the ``merge`` command."""
    parser = subparsers.add_parser(
        "merge",
        help="merge the reports of several shards into one",
        description="Merge the directories that pytest --htp-report=DIR wrote in several CI jobs. "
        "Exit 0 when the merged report was written, 2 on bad input.",
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a directory with a report.json")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="where to write the result")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge and print the summary. Returns 0; bad input is an HTPUsageError, which ``htp`` answers with 2."""
    from pytest_htp.report.merge import merge_reports
    from pytest_htp.report.terminal import summary_lines

    report = merge_reports(args.directories, args.output)
    for line, _ in summary_lines(report, html=args.output / "index.html"):
        print(line)
    return 0
