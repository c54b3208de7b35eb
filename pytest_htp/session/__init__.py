"""What happens inside a pytest run: settings, the fixture, sharing, collecting results, pruning.

Imported by the plugin in every pytest run on the machine, so nothing here imports torch, onnx, rich or syrupy
at import.
"""

RESULTS = "htp_results"
"""The attribute of a test's report that carries its exports' results between xdist's processes."""

INCOMPLETE = "htp_incomplete"
"""The attribute that says of a test's report why it has no results."""

NOTES = "htp_notes"
"""The attribute that carries what there is to say of the run itself."""

UNWRITTEN = "htp_unwritten"
"""The attribute that lists baselines which the system refused to write, each with its reason."""

UNKEPT = "htp_unkept"
"""The attribute that says why exports' files are not in the report."""
