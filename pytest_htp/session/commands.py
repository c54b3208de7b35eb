"""The commands that messages show: reproduce a test alone, accept its change."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_htp.session.identity import nodeid_of
from pytest_htp.session.typed import Typed

if TYPE_CHECKING:
    from pytest_htp.report.result import Commands

ACCEPT = "--snapshot-update"
PRUNE = "--htp-prune"


def commands_for(item: pytest.Item) -> Commands:
    """How to run the test alone, and how to accept what it exports, as typed where this run was started."""
    from pytest_htp.report.result import Commands  # paths as typed are shown by runs without exports, too

    config = item.config
    path, separator, inside = nodeid_of(item).partition("::")
    target = shlex.quote(f"{as_typed(config.rootpath / path, config)}{separator}{inside}")
    typed = Typed.of(config)
    return Commands(
        reproduce=typed.command(target, selection=typed.override),
        accept=typed.command(target, more=[ACCEPT], selection=typed.override),
    )


def command_again(config: pytest.Config, option: str) -> str:
    """How to run all the tests of this run again, with another option."""
    typed = Typed.of(config)
    return typed.command(*map(shlex.quote, typed.places), more=[option], selection=(*typed.keyword, *typed.narrowing))


def as_typed(path: Path, config: pytest.Config) -> str:
    """A path relative to where pytest was started, absolute where there is no such path (another drive)."""
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return str(path)
