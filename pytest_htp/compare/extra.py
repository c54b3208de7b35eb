"""Findings that other plugins add, with codes of their own: ``x-vendor.what``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pytest_htp.compare.finding import KEYS, Comparison, Finding, finding_order
from pytest_htp.compare.policy import IGNORE, Policy
from pytest_htp.errors import HTPUsageError


def with_findings(comparison: Comparison, found: Iterable[Mapping[str, object]], policy: Policy) -> Comparison:
    """The comparison with more findings, in order, by the verdicts ``htp_policy`` gives their codes.

    Raises:
        HTPUsageError: a finding is no mapping of the known keys, or its code is not ``x-vendor.what``.
    """
    return add_findings(comparison, (_finding(values) for values in found), policy)


def add_findings(comparison: Comparison, found: Iterable[Finding], policy: Policy) -> Comparison:
    """The same for findings of the package's own that no two records show: a stage that failed."""
    added = []
    for finding in found:
        verdict = policy.overrides.get(finding.code, finding.verdict)
        if verdict != IGNORE:
            added.append(Finding(**{**finding, "verdict": verdict}))
    if not added:
        return comparison
    return replace(comparison, findings=tuple(sorted([*comparison.findings, *added], key=finding_order)))


def _finding(values: object) -> Finding:
    if not isinstance(values, Mapping):
        raise HTPUsageError(
            f"a plugin's finding must be a Finding or a mapping of its keys, got {type(values).__name__}"
        )
    if unknown := sorted(set(values) - set(KEYS)):
        raise HTPUsageError(f"a plugin's finding has no {unknown[0]!r}; it has {', '.join(sorted(KEYS))}")
    if missing := sorted({"code", "message", "verdict"} - set(values)):
        raise HTPUsageError(f"a plugin's finding needs {', '.join(missing)}; got {dict(values)!r}")
    finding = values if isinstance(values, Finding) else Finding(**values)
    if not finding.code.startswith("x-"):
        raise HTPUsageError(f"plugins report codes of their own, like 'x-vendor.{finding.code}'")
    for key in ("message", "module", "stage"):
        if not isinstance(finding[key], str if key == "message" else str | None):
            raise HTPUsageError(f"a finding's {key} must be text, got {finding[key]!r}")
    return finding
