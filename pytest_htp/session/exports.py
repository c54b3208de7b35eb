"""The exports of one test: what each found, what is still to be written, and how the test ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

KEY = pytest.StashKey["TestExports"]()

# The section's title begins with "Captured stdout" so that JUnit files (junit_logging) take it as well.
SECTION = "stdout htp export"


@dataclass
class TestExports:
    """Collects the exports of a test until its call phase is over.

    Attributes:
        results: JSON-able export results, in the order of the calls.
        failures: messages of exports that fail the test.
        on_pass: what to do with each export's baseline once the test has passed.
        cleanup: what to remove after the test.
    """

    __test__ = False

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    on_pass: list[Callable[[], None]] = field(default_factory=list)
    cleanup: list[Callable[[], None]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, item: pytest.Item) -> TestExports:
        return item.stash.setdefault(KEY, cls())

    def message(self) -> str:
        """All failures of the test as one text."""
        return "\n\n".join(self.failures)
