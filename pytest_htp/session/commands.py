"""The commands a failure message shows: reproduce this test alone, accept its change."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pytest_htp.session.identity import nodeid_of


def commands_for(item: pytest.Item) -> dict[str, str]:
    """``{"reproduce", "accept"}``, as typed where this run was started."""
    path, separator, inside = nodeid_of(item).partition("::")
    target = shlex.quote(f"{as_typed(item.config.rootpath / path, item.config)}{separator}{inside}")
    ini = item.config.getoption("inifilename", None)
    command = f"pytest -c {shlex.quote(str(ini))} {target}" if ini else f"pytest {target}"
    return {"reproduce": command, "accept": f"{command} --snapshot-update"}


def as_typed(path: Path, config: pytest.Config) -> str:
    """A path relative to where pytest was started, absolute where there is no such path (another drive)."""
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return str(path)
