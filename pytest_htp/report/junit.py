"""JUnit properties of a test."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_htp.report.model import worst_verdict
from pytest_htp.report.result import ExportResult


def junit_properties(results: Iterable[ExportResult]) -> list[tuple[str, str]]:
    """``htp.verdict``, ``htp.coverage``, ``htp.direct_coverage`` (percent) for one test's exports.

    Several exports give the worst verdict and the lowest coverage; one that was not measured is left out.
    """
    known = list(results)
    if not known:
        return []
    properties = [("htp.verdict", worst_verdict(known))]
    for name, key in (("htp.coverage", "coverage"), ("htp.direct_coverage", "direct_coverage")):
        values = [getattr(result.coverage, key) for result in known if result.coverage is not None]
        if values:
            lowest = min(values)
            properties.append((name, f"{min(lowest, 99.99) if lowest < 100 else lowest:.2f}"))
    return properties
