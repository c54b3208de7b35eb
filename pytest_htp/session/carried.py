"""What a test's report carries from the process that ran the test to the one that writes the reports."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct, convert, to_builtins

from pytest_htp.report.result import ExportResult, Incomplete
from pytest_htp.session import CARRIED


class Carried(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one test.

    Attributes:
        results: of its exports.
        incomplete: why it has none, or not all.
        notes: what there is to say of the run itself.
        unwritten: baselines that the system refused to write, each with its reason.
        unkept: why exports' files are not in the report.
    """

    results: list[ExportResult] = []
    incomplete: Incomplete | None = None
    notes: list[str] = []
    unwritten: list[tuple[str, str]] = []
    unkept: str = ""

    def put_on(self, report: object, config: pytest.Config) -> None:
        """Attach it to a report, as JSON values; as their text on xdist's workers.

        Execnet takes 2 ms to send the values of one export, and a tenth of it for the text.
        """
        values = to_builtins(self)
        setattr(report, CARRIED, json.dumps(values) if hasattr(config, "workerinput") else values)

    @classmethod
    def of(cls, report: object) -> Carried:
        """What a report carries."""
        values = getattr(report, CARRIED)
        return convert(json.loads(values) if isinstance(values, str) else values, cls)
