"""Run the comparison."""

from __future__ import annotations

from importlib.util import find_spec

from pytest_htp.parity.result import ParityRequest, ParityResult


def parity_unavailable() -> str | None:
    """Why parity can't be measured here, or None where it can."""
    if find_spec("onnxruntime") is None:
        return "onnxruntime is not installed (pip install 'pytest-htp[parity]')"
    return None


def measure_parity(request: ParityRequest) -> ParityResult:
    return ParityResult.not_measured("not built yet")
