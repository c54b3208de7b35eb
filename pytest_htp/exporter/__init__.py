"""The export itself: eight steps, usable without pytest.

Nothing is imported here: an export from the cache needs options and results, not the exporter.
"""
