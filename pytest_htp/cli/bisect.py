"""``htp bisect PACKAGE==GOOD..BAD … -- PYTEST ARGUMENTS``: which version of which package changed the exports."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError
from pytest_htp.text import inert, plural

if TYPE_CHECKING:
    from pytest_htp.bisect.hunt import Culprit
    from pytest_htp.bisect.judge import Change
    from pytest_htp.bisect.ranges import Row
    from pytest_htp.bisect.rounds import Round

NOTHING_FOUND = 1
STOPPED = 130  # as shells say of Ctrl-C
_SHOWN = 5  # exports and notes that are printed; the report has all
_REFUSED = ("--snapshot-update", "--htp-prune", "--htp-report", "--inline-snapshot")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the ``bisect`` command."""
    parser = subparsers.add_parser(
        "bisect",
        help="find the version of a package that changed the exports",
        usage="htp bisect [-h] [--wheels DIR] [--pre] PACKAGE==GOOD..BAD [PACKAGE==GOOD..BAD ...] -- PYTEST ARGUMENTS",
        description="Run the tests with versions of packages between a good and a bad one, in environments made by uv, "
        f"and print the first bad one. Rounds are kept in .htp-bisect: the same command goes on where it was "
        f"stopped. Exit 0 found, {NOTHING_FOUND} the ends export the same, 2 bad input.",
    )
    parser.add_argument(
        "ranges", nargs="+", metavar="PACKAGE==GOOD..BAD", help="like torch==2.12.0..2.13.0; several: guilty ones first"
    )
    parser.add_argument(
        "--wheels",
        type=Path,
        metavar="DIR",
        help="folder of wheels to install from (default: the index, by pip and uv)",
    )
    parser.add_argument("--pre", action="store_true", help="try pre-releases between the ends as well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search and print. Returns 0 or 1; bad input is an HTPUsageError, which ``htp`` answers with 2."""
    from filelock import FileLock, Timeout

    from pytest_htp.bisect.environments import find_uv
    from pytest_htp.bisect.hunt import Hunt
    from pytest_htp.bisect.rounds import Rounds
    from pytest_htp.bisect.state import project_root, state_of

    passed_on: Sequence[str] = arguments.passed_on
    for argument in (*os.environ.get("PYTEST_ADDOPTS", "").split(), *passed_on):
        if argument.partition("=")[0] in _REFUSED:
            raise HTPUsageError(
                f"{argument} is not for a search: baselines are only read, and each round has its report"
            )
    rows = _rows(arguments)
    uv = find_uv()
    state = state_of(project_root(Path.cwd()), passed_on)
    said = _Printer()
    rounds = Rounds(passed_on, state, uv, arguments.wheels, said.round_done)
    try:
        with FileLock(state / ".lock", timeout=0):
            found = Hunt(rows, rounds, said.outcome).run()
    except Timeout:
        raise HTPUsageError(f"another htp bisect of the same tests is running here ({state})") from None
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here")
        return STOPPED
    print()
    for culprit in found:
        _print_culprit(culprit)
    if not found:
        print("nothing found: with the bad ends the tests export what they do with the good ones")
    print(said.spent())
    return 0 if found else NOTHING_FOUND


def _rows(arguments: argparse.Namespace) -> list[Row]:
    from pytest_htp.bisect.ranges import installed_version, offered_by_index, offered_by_wheels, parse_range, row_of

    asked = [parse_range(text) for text in arguments.ranges]
    names = [item.name for item in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise HTPUsageError(f"{twice} is given twice")
    rows = []
    for item in asked:
        wheels: Path | None = arguments.wheels
        offered = offered_by_index(item.name) if wheels is None else offered_by_wheels(item.name, wheels)
        row = row_of(item, offered, installed_version(item.name), pre=arguments.pre)
        print(f"{row.name}: {len(row.versions)} versions from {row.versions[0]} to {row.versions[-1]}", flush=True)
        rows.append(row)
    return rows


class _Printer:
    """Says what happens, and counts."""

    def __init__(self) -> None:
        self._rounds: list[Round] = []
        self._printed: set[Path] = set()

    def round_done(self, made: Round) -> None:
        self._rounds.append(made)

    def outcome(self, made: Round, outcome: str, found: Sequence[Change]) -> None:
        """One line for each round."""
        if made.folder in self._printed:
            return
        self._printed.add(made.folder)
        what = " ".join(f"{name} {number}" for name, number in made.pins.items())
        kept = made.kept
        spent = "kept" if made.again else f"{plural(kept.exports, 'export')}, {kept.seconds:.0f} s"
        why = f": {kept.trouble}" if kept.trouble else f": {found[0].name}: {found[0].summary}" if found else ""
        print(inert(f"{len(self._printed):2} {what}: {outcome} ({spent}){why}"), flush=True)
        for note in kept.notes[:_SHOWN]:
            print(inert(f"   note: {note}"))

    def spent(self) -> str:
        """How much was run, now and by an earlier run."""
        kept = sum(made.again for made in self._rounds)
        exports = sum(made.kept.exports for made in self._rounds if not made.again)
        text = f"{plural(len(self._rounds), 'round')}, {plural(exports, 'export')}"
        return f"{text} (kept: {plural(kept, 'round')})" if kept else text


def _print_culprit(culprit: Culprit) -> None:
    print(f"{culprit.row.name} {culprit.first_bad} is the first bad version, {culprit.last_good} the last good one")
    if culprit.bracket.unknown:
        untried = ", ".join(str(culprit.row.versions[place]) for place in culprit.bracket.unknown)
        print(f"  or one of these, which could not be tried: {untried}")
    if culprit.others:
        print("  together with " + ", ".join(f"{name} {number}" for name, number in culprit.others.items()))
    for change in culprit.changes[:_SHOWN]:
        print(inert(f"  {change.nodeid}: {change.verdict}"))
        if not change.findings:
            print(inert(f"    {change.reason}"))
        for finding in change.findings[:_SHOWN]:
            print(inert(f"    {finding.verdict} {finding.code} {finding.module or ''}".rstrip()))
            print(inert(f"      {finding.message}"))
    if len(culprit.changes) > _SHOWN:
        print(f"  and {plural(len(culprit.changes) - _SHOWN, 'more export')}")
    print(inert(f"  report: {culprit.shown.folder}/index.html"))
