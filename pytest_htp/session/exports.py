"""The exports of one test: what each found, what is still to be written, and how the test ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.session.frames import place_of_call

if TYPE_CHECKING:
    from pytest_htp.report.result import ExportResult

KEY = pytest.StashKey["TestExports"]()

# The section's title begins with "Captured stdout" so that JUnit files (junit_logging) take it as well.
SECTION = "stdout htp export"


@dataclass
class TestExports:
    """Collects the exports of a test until its call phase is over.

    Attributes:
        results: of the exports, in the order of the calls.
        failures: messages of exports that fail the test.
        on_pass: what to do with each export's baseline once the test has passed.
        unwritten: baselines that the system refused to write, each with what it said.
        at_end: what to look at when the test's own code has run to its end.
        saved: models to remove after the test.
        names: of the exports so far.
        over: whether the test has ended, so that nothing more may be added.
        place: of the last call whose export failed, as long as the test runs.
    """

    __test__ = False

    results: list[ExportResult] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    on_pass: list[Callable[[], None]] = field(default_factory=list)
    unwritten: list[tuple[str, str]] = field(default_factory=list)
    at_end: Callable[[], None] = lambda: None
    saved: list[Path] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    over: bool = False
    place: TracebackType | None = None

    @classmethod
    def start(cls, item: pytest.Item) -> TestExports:
        """A new, empty one: a test that is run again (pytest-rerunfailures) starts afresh."""
        item.stash[KEY] = exports = cls()
        return exports

    def fail(self, message: str) -> None:
        """An export fails the test; the test's own line that made it is where a debugger is to open."""
        self.failures.append(message)
        self.place = place_of_call() or self.place

    def amend(self, position: int, **changes: object) -> None:
        """Say more of a result."""
        from msgspec.structs import replace

        self.results[position] = replace(self.results[position], **changes)

    def let_go(self) -> None:
        """Items live as long as the session, and so would each one's records, baseline and fixture."""
        self.results, self.on_pass, self.at_end = [], [], lambda: None

    def message(self) -> str:
        """All failures of the test as one text."""
        return "\n\n".join(self.failures)

    def accept(self) -> list[str]:
        """The test has passed: write its baselines. One message for each that can't be written."""
        problems = []
        for write in self.on_pass:
            try:
                write()
            except HTPUsageError as error:
                problems.append(str(error))
        return problems
