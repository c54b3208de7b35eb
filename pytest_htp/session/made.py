"""How an export of a test came about: made, shared with another test, or taken from the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_htp.exporter import HTPExport


@dataclass(frozen=True)
class Made:
    """An export and where it is from.

    Attributes:
        shared_with: node id of the test that made it, None where this one did.
        cached: it was taken from the cache, by this test or the one it shares with.
        note: what the cache says of it: ``hit``, ``miss: net.py changed``; empty without a cache.
        contradiction: how the cache's entry differs; empty where it was not asked or agrees.
    """

    export: HTPExport
    shared_with: str | None = None
    cached: bool = False
    note: str = ""
    contradiction: str = ""
