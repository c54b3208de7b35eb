"""The record of one export: what a baseline file stores. Importing this imports neither torch nor onnx."""

from pytest_htp.format.validate import SCHEMA

__all__ = ["SCHEMA"]
