"""The inputs of an export: given as they are, described by strings, or made from a config and a signature."""

from __future__ import annotations

from pytest_htp.capture.inputs.prepare import PreparedInputs, make_inputs
from pytest_htp.capture.inputs.spec import TensorSpec, parse_spec

__all__ = ["PreparedInputs", "TensorSpec", "make_inputs", "parse_spec"]
