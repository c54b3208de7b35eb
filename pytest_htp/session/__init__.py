"""What happens inside a pytest run: settings, the fixture, sharing, collecting results, pruning.

Imported by the plugin in every pytest run on the machine, so nothing here imports torch, onnx, rich or syrupy
at import.
"""

CARRIED = "htp_carried"
"""The attribute of a test's report that holds what is carried to the controlling process, see ``carried.py``."""
