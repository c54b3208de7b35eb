"""How bad a finding is: breaking > regression > drift > improvement > info > unchanged."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_htp.errors import HTPUsageError

VERDICTS = ("breaking", "regression", "drift", "improvement", "info", "unchanged")
_SEVERITY = {verdict: place for place, verdict in enumerate(reversed(VERDICTS))}


def severity(verdict: str) -> int:
    """0 for ``unchanged`` up to 5 for ``breaking``. Raises HTPUsageError for an unknown verdict."""
    if verdict not in _SEVERITY:
        raise HTPUsageError(f"unknown verdict {verdict!r}; known, worst first: {', '.join(VERDICTS)}")
    return _SEVERITY[verdict]


def worst(verdicts: Iterable[str]) -> str:
    """The worst of the verdicts; ``unchanged`` for none."""
    return max(verdicts, key=severity, default="unchanged")


def at_or_above(verdict: str, threshold: str) -> bool:
    """Whether ``verdict`` is at least as bad as ``threshold``."""
    return severity(verdict) >= severity(threshold)
