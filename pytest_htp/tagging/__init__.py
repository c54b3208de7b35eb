"""Graph in, tags with evidence out. Passes run in a fixed order; see :mod:`pytest_htp.tagging.tagger`."""
