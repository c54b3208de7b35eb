"""The commands a failure message shows: reproduce this test alone, accept its change."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_htp.session.identity import nodeid_of

if TYPE_CHECKING:
    from pytest_htp.report.result import Commands


def commands_for(item: pytest.Item) -> Commands:
    """How to run the test alone, and how to accept what it exports, as typed where this run was started."""
    from pytest_htp.report.result import Commands  # paths as typed are shown by runs without exports, too

    path, separator, inside = nodeid_of(item).partition("::")
    target = shlex.quote(f"{as_typed(item.config.rootpath / path, item.config)}{separator}{inside}")
    ini = item.config.getoption("inifilename", None)
    options = ["-c", str(ini)] if ini else []
    options += _selection(item.config)
    command = " ".join(["pytest", *map(shlex.quote, options), target])
    return Commands(reproduce=command, accept=f"{command} --snapshot-update")


def _selection(config: pytest.Config) -> list[str]:
    """``-m`` and ``-k`` where they override ini ``addopts``, which would deselect the test again."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m")
    parser.add_argument("-k")
    words = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    configured, _ = parser.parse_known_args(words)
    used = {
        "-m": (configured.m, config.getoption("markexpr", "")),
        "-k": (configured.k, config.getoption("keyword", "")),
    }
    return [word for option, (ini, now) in used.items() if ini and now != ini for word in (option, now)]


def as_typed(path: Path, config: pytest.Config) -> str:
    """A path relative to where pytest was started, absolute where there is no such path (another drive)."""
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return str(path)
