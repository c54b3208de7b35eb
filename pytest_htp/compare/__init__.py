"""Comparing two export records: findings, not diffs. Imports neither torch nor onnx."""

from __future__ import annotations

from pytest_htp.compare.codes import CODES, Code
from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.compare.message import render_failure
from pytest_htp.compare.policy import Policy
from pytest_htp.compare.verdicts import VERDICTS, at_or_above, severity, worst

__all__ = [
    "CODES",
    "VERDICTS",
    "Code",
    "Comparison",
    "Finding",
    "Policy",
    "at_or_above",
    "compare_exports",
    "render_failure",
    "severity",
    "worst",
]
