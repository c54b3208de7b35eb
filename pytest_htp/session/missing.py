"""export.missing: a test has a baseline for an export that it did not make.

A call behind a condition, an early return, a component that a generative model no longer has: nothing was compared, so
nothing would say that something is gone.
"""

from __future__ import annotations

from pytest_htp.baseline.stored import Stored
from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.compare.policy import IGNORE, Policy

CODE = "export.missing"


def export_missing(stored: Stored, shown: str, policy: Policy) -> Comparison | None:
    """The finding for a baseline whose export was not made; None where the policy ignores it.

    Args:
        stored: the baseline.
        shown: the baseline's path as messages say it.
        policy: verdicts by code.
    """
    verdict = policy.verdict(CODE)
    if verdict == IGNORE:
        return None
    name = (stored.record or {}).get("export")
    which = f"the export {name!r}" if name else "an export"
    message = f"the test has a baseline for {which} that it did not make: {shown}"
    return Comparison((Finding(CODE, message, before=name or stored.path.stem, after=None, verdict=verdict),))
