"""``htp bisect``: which package, and which of its versions, changed what the tests export. Imports no torch."""
