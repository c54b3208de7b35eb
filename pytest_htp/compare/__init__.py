"""Comparing two export records: findings, not diffs. Imports neither torch nor onnx."""
