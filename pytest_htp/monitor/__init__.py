"""Observing an export: the monitor, its writers, the live display, the module tree.

Nothing here imports torch or onnx; rich is imported when a console writer is made or a live line is drawn.
"""
