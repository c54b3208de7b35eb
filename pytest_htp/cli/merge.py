"""``htp merge DIR... -o OUT``: the reports of CI shards as one."""

from __future__ import annotations

import argparse
from pathlib import Path

INCOMPLETE = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``merge`` command."""
    parser = subparsers.add_parser(
        "merge",
        help="merge the reports of several shards into one",
        description="Merge the directories that pytest --htp-report=DIR wrote in several CI jobs. "
        "Exit 0 when the merged report was written, 1 when it was and lacks a shard or one stopped early, 2 on bad "
        "input.",
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a directory with a report.json")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="where to write the result")
    parser.add_argument(
        "--shards", type=_count, metavar="N", help="how many there are (default: as pytest-split told the reports)"
    )
    parser.add_argument(
        "--durations", type=Path, metavar="FILE", help="also write seconds by test for pytest-split (.test_durations)"
    )
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:8]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!a} is no number of shards, which is from 1")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Merge and print the summary. Returns 0, or 1 where a part of the run is missing.

    Bad input is an HTPUsageError, which ``htp`` answers with 2.
    """
    from pytest_htp.report.durations import write_durations
    from pytest_htp.report.merge import merge_reports
    from pytest_htp.report.terminal import summary_lines

    report = merge_reports(args.directories, args.output, count=args.shards)
    for line, _ in summary_lines(report, html=args.output / "index.html"):
        print(line)
    if args.durations is not None:
        write_durations(report, args.durations)
    return INCOMPLETE if any(entry.outcome == "lost" and not entry.nodeid for entry in report.incomplete) else 0
