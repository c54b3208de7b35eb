"""The inputs of an export: given as they are, described by strings, or made from a config and a signature.

``make_inputs`` and ``PreparedInputs`` resolve lazily: they need torch, descriptions don't.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_htp.capture.inputs.spec import TensorSpec, parse_spec

if TYPE_CHECKING:
    from pytest_htp.capture.inputs.prepare import PreparedInputs, make_inputs

__all__ = ["PreparedInputs", "TensorSpec", "make_inputs", "parse_spec"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("pytest_htp.capture.inputs.prepare"), name)
