"""``htp merge DIR... -o OUT``: the reports of CI shards as one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the ``merge`` command."""
    parser = subparsers.add_parser(
        "merge",
        help="merge the reports of several shards into one",
        description="Merge the directories that pytest --htp-report=DIR wrote in several CI jobs. "
        "Exit 0 when the merged report was written, 2 on bad input.",
    )
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="a directory with a report.json"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="where to write the result"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge, print the summary, and return the exit status."""
    from pytest_htp.report.merge import merge_reports
    from pytest_htp.report.terminal import summary_lines

    try:
        report = merge_reports(args.directories, args.output)
    except HTPUsageError as error:
        print(f"htp merge: {error}", file=sys.stderr)
        return 2
    for line, _ in summary_lines(report, html=args.output / "index.html"):
        print(line)
    return 0
