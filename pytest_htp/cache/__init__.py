"""What an export depends on, as digests by name, and the store of exports by them.

An export is taken from the store only where every ingredient is the same. What can't be determined for sure is an
:class:`Uncertain`: such a request is exported, and shares nothing.
"""

from __future__ import annotations


class Uncertain(Exception):
    """Something that an export depends on can't be determined; the text says what, for people."""
