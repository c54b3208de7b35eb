"""The commands a failure message shows: reproduce this test alone, accept its change."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest


def commands_for(item: pytest.Item) -> dict[str, str]:
    """``{"reproduce", "accept"}``, as typed where this run was started."""
    path, separator, inside = item.nodeid.partition("::")
    here = item.config.invocation_params.dir
    try:
        path = Path(os.path.relpath(item.config.rootpath / path, here)).as_posix()
    except ValueError:  # another drive
        path = str(item.config.rootpath / path)
    target = shlex.quote(f"{path}{separator}{inside}")
    return {"reproduce": f"pytest {target}", "accept": f"pytest {target} --snapshot-update"}
