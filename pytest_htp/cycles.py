"""Work during which Python need not search for cycles of garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """For what makes many small objects and no cycles: each search for some would walk a whole model again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def loaded_set_aside() -> Iterator[None]:
    """Keep what exists already out of searches for cycles: of torch and transformers alone it is half a million
    objects, and a search through all of them takes as long as a tenth of a small model's export.
    """
    if gc.get_freeze_count():  # somebody set theirs aside, and only all can be taken back
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
