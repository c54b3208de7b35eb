"""Graph in, tags with evidence out. Passes run in a fixed order, one class each; see :mod:`pytest_htp.tagging.tagger`."""
