"""Seconds by test for pytest-split, which spreads tests over machines: ``.test_durations``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import write_text
from pytest_htp.report.result import Report


def durations_of(report: Report) -> dict[str, float]:
    """Node id → seconds of the test's exports.

    Those of an export from a cache are of the run that made it; one shared with another test counts there only. What a
    test does beside its exports is not in a report.
    """
    found: dict[str, float] = {}
    for result in report.exports:
        seconds = result.seconds if result.seconds is not None and result.shared_with is None else 0.0
        found[result.nodeid] = round(found.get(result.nodeid, 0.0) + seconds, 3)
    return found


def write_durations(report: Report, path: Path) -> None:
    """Write the durations; tests that the report does not have keep theirs.

    Raises:
        HTPUsageError: the file is there and holds something else, or can't be written.
    """
    try:
        known = _read(path)
        text = json.dumps({**known, **durations_of(report)}, indent=4, sort_keys=True)
        write_text(path, f"{text}\n")
    except OSError as error:
        raise HTPUsageError(f"the durations can't be written to {path}: {error.strerror or error}") from error


def _read(path: Path) -> Mapping[str, float]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(
        isinstance(seconds, int | float) and math.isfinite(seconds) for seconds in values.values()
    ):
        raise HTPUsageError(f"{path} holds no durations of pytest-split (node id: seconds); give another file")
    return values
