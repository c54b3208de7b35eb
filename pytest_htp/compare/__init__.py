"""Comparing two export records: findings, not diffs. Imports neither torch nor onnx.

Names resolve lazily (PEP 562): pytest's start-up needs only ``compare.policy`` and ``compare.verdicts``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_htp.compare.codes import CODES, Code
    from pytest_htp.compare.engine import compare_exports
    from pytest_htp.compare.finding import Comparison, Finding
    from pytest_htp.compare.message import render_failure
    from pytest_htp.compare.policy import Policy
    from pytest_htp.compare.verdicts import VERDICTS, at_or_above, severity, worst

_HOME = {
    "CODES": "codes",
    "Code": "codes",
    "Comparison": "finding",
    "Finding": "finding",
    "Policy": "policy",
    "VERDICTS": "verdicts",
    "at_or_above": "verdicts",
    "compare_exports": "engine",
    "render_failure": "message",
    "severity": "verdicts",
    "worst": "verdicts",
}

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


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
