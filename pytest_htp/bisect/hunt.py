"""From ranges to the versions that changed what the tests export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version

from pytest_htp.bisect.judge import Change, changes, failing
from pytest_htp.bisect.ranges import Row
from pytest_htp.bisect.rounds import Round, Rounds
from pytest_htp.bisect.search import Bracket, Outcome, first_bad, guilty
from pytest_htp.errors import HTPUsageError
from pytest_htp.report.result import Report
from pytest_htp.text import some

_SHOWN = 3  # tests that a message names


@dataclass(frozen=True)
class Culprit:
    """A package and the versions between which the tests' exports change.

    Attributes:
        bracket: places in ``row``.
        changes: what the first bad version shows, worst first.
        shown: the round that showed it.
        others: the other packages that must be at their bad end for it to show.
    """

    row: Row
    bracket: Bracket
    changes: Sequence[Change]
    shown: Round
    others: Mapping[str, Version]

    @property
    def last_good(self) -> Version:
        """The newest version seen to be good."""
        return self.row.versions[self.bracket.good]

    @property
    def first_bad(self) -> Version:
        """The oldest version seen to be bad."""
        return self.row.versions[self.bracket.bad]


class Hunt:
    """A search over the rows of one or more packages."""

    def __init__(self, rows: Sequence[Row], rounds: Rounds, say: Callable[[Round, Outcome, Sequence[Change]], None]):
        self._rows = {row.name: row for row in rows}
        self._rounds = rounds
        self._say = say

    def run(self) -> list[Culprit]:
        """The guilty packages with their versions; empty where the bad ends export what the good ones do.

        Raises:
            HTPUsageError: the good ends fail already, or the tests can't be run at an end.
        """
        good = self._end(self._pins(()), "good")
        report = _report(good)
        already = failing(report)
        self._say(good, Outcome.BAD if already else Outcome.GOOD if report.exports else Outcome.UNKNOWN, already)
        if not report.exports:
            why = "".join(f": {entry.nodeid}: {entry.message}" for entry in report.incomplete[:1])
            raise HTPUsageError(f"the tests export nothing with {_named(good.pins)}{why}; see {good.folder}/pytest.log")
        if already:
            raise HTPUsageError(
                f"{_named(good.pins)} is bad already: {_tests(already)}. Start from a version whose exports are those "
                "of the baselines, leave these tests out, or are the ends the wrong way round?"
            )
        bad = self._end(self._pins(tuple(self._rows)), "bad")
        found = changes(report, _report(bad))
        self._say(bad, Outcome.BAD if found else Outcome.GOOD, found)
        if not found:
            return []
        only = frozenset(change.nodeid for change in found)

        def probe(pins: Mapping[str, Version]) -> Outcome:
            return self._probe(report, pins, only)

        names = guilty(tuple(self._rows), lambda names: probe(self._pins(names)))
        return [self._first_bad(name, names, report, only, bad) for name in names]

    def _first_bad(self, name: str, names: tuple[str, ...], good: Report, only: frozenset[str], bad: Round) -> Culprit:
        row, ends = self._rows[name], self._pins(names)

        def pins(place: int) -> dict[str, Version]:
            return {**ends, name: row.versions[place]}

        bracket = first_bad(len(row.versions), lambda place: self._probe(good, pins(place), only))
        whole = pins(bracket.bad) == bad.pins  # its tests ran with all others
        shown = bad if whole else self._rounds.run(pins(bracket.bad), only)
        others = {other: self._rows[other].versions[-1] for other in names if other != name}
        return Culprit(row, bracket, changes(good, _report(shown), only), shown, others)

    def _probe(self, good: Report, pins: Mapping[str, Version], only: frozenset[str]) -> Outcome:
        made = self._rounds.run(pins, only)
        found = changes(good, made.report, only) if made.report is not None else []
        outcome = Outcome.UNKNOWN if made.report is None else Outcome.BAD if found else Outcome.GOOD
        self._say(made, outcome, found)
        return outcome

    def _end(self, pins: Mapping[str, Version], which: str) -> Round:
        made = self._rounds.run(pins)
        if made.report is None:
            raise HTPUsageError(f"the {which} end, {_named(pins)}: {made.kept.trouble}")
        return made

    def _pins(self, at_the_bad_end: tuple[str, ...]) -> dict[str, Version]:
        return {name: row.versions[-1 if name in at_the_bad_end else 0] for name, row in self._rows.items()}


def _report(made: Round) -> Report:
    if made.report is None:
        raise ValueError(f"{made.folder} has no report")
    return made.report


def _named(pins: Mapping[str, Version]) -> str:
    return " ".join(f"{name}=={number}" for name, number in pins.items())


def _tests(found: Sequence[Change]) -> str:
    return some([f"{change.nodeid} ({change.summary})" for change in found], _SHOWN)
