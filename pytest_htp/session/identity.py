"""Which test an item is, whatever the run calls it.

``--dist loadgroup`` appends ``@group`` to the node ids of a run. A baseline's name, and the commands a
message shows, must not depend on how the tests were distributed, so the id is kept as it was collected.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

_NODEID = pytest.StashKey[str]()


def remember(item: pytest.Item) -> None:
    """Called when the item is collected, before any plugin renames it."""
    item.stash[_NODEID] = item.nodeid


def nodeid_of(item: pytest.Item) -> str:
    """``tests/test_m.py::TestA::test_b[c]``."""
    return item.stash.get(_NODEID, item.nodeid)


def test_id_of(item: pytest.Item) -> str:
    """The node id behind its file: ``TestA::test_b[c]``."""
    return nodeid_of(item).partition("::")[2] or item.name


def place_of(item: pytest.Item) -> tuple[str, int]:
    """File and line (from 1) of a test; of one that is inherited from another file, those of the class that ran."""
    path, line, _ = item.location
    file = nodeid_of(item).partition("::")[0]
    owner = getattr(item, "cls", None)
    if Path(path).as_posix() == file or owner is None:
        return Path(path).as_posix(), (line or 0) + 1
    try:
        return file, inspect.getsourcelines(owner)[1]
    except (OSError, TypeError):  # a class without source
        return file, 1


test_id_of.__test__ = False  # type: ignore[attr-defined]  # not a test, should anyone import it into one
