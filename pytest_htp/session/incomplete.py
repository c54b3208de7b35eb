"""Tests whose exports the report lacks, or has only in part, so that it never looks better than the run.

A test that uses the fixture and fails elsewhere than in an export (another fixture, a usage error, its teardown), a
test that was lost with its worker, a file that can't be collected, a run that stopped early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_htp.session import CARRIED
from pytest_htp.session.exports import KEY
from pytest_htp.session.identity import nodeid_of, place_of

if TYPE_CHECKING:
    from pytest_htp.report.result import Incomplete

_MESSAGE_LIMIT = 500


def note_on_report(item: pytest.Item, report: pytest.TestReport) -> None:
    """Attach what failed to the report of a phase that carries no export."""
    uses_exports = "htp_export" in getattr(item, "fixturenames", ()) or KEY in item.stash
    if not report.failed or hasattr(report, CARRIED) or not uses_exports:
        return
    from pytest_htp.report.result import Incomplete
    from pytest_htp.session.carried import Carried

    file, line = place_of(item)
    where = "" if report.when == "call" else f"{report.when}: "
    entry = Incomplete(
        nodeid=nodeid_of(item),
        outcome="failed",
        message=where + _first_line(report.longrepr),
        file=file,
        line=line,
    )
    Carried(incomplete=entry).put_on(report, item.config)


def lost(nodeid: str, message: str) -> Incomplete:
    """An entry for a test, a file or (``""``) the run."""
    from pytest_htp.report.result import Incomplete

    return Incomplete(nodeid=nodeid, outcome="lost", message=message)


def uncollected(report: pytest.CollectReport) -> Incomplete:
    """An entry for a file or folder that can't be collected."""
    return lost(report.nodeid, f"can't be collected: {_first_line(report.longrepr)}")


def _first_line(longrepr: object) -> str:
    """What pytest's short summary would say: the error itself, not the frames above it."""
    crash = getattr(longrepr, "reprcrash", None)
    lines = [line.strip() for line in str(crash.message if crash is not None else longrepr).splitlines()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    return next((line for line in [*errors, *lines] if line), "")[:_MESSAGE_LIMIT]
