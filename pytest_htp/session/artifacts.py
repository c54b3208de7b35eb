"""The exports' files in a report folder: collected aside, put in place when the report is written.

Until a run ends, the report folder holds the whole report of the run before; a run that is killed leaves it
so. Two runs at once collect in folders of their own and write one after the other: the last one to end has its
report there, whole.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

import pytest

_PREFIX = ".exports-"
_FINAL = "exports"
# Seconds after which a staging folder is left of a run that was killed.
_ABANDONED = 24 * 3600
_SCHEMA = '"schema":"pytest-htp/report/'
_LOCK = ".report.lock"
# Seconds to wait for another run that is writing its report here (a hundred large exports take 2.3 s).
_PATIENCE = 60
_TOKEN = pytest.StashKey[str]()
_WORKER_KEY = "htp_run_token"


def run_token(config: pytest.Config) -> str:
    """The name of this run, the same in all its processes."""
    if _TOKEN not in config.stash:
        given = getattr(config, "workerinput", {}).get(_WORKER_KEY)
        config.stash[_TOKEN] = given if given is not None else token_hex(4)
    return config.stash[_TOKEN]


def hand_on(config: pytest.Config, workerinput: dict[str, object]) -> None:
    """On the controller: give a worker the run's name."""
    workerinput[_WORKER_KEY] = run_token(config)


def staging_folder(config: pytest.Config, report_dir: Path) -> Path:
    """Where this run keeps its exports' files until the report is written."""
    return report_dir / f"{_PREFIX}{run_token(config)}"


def sweep(report_dir: Path) -> None:
    """Remove what killed runs left."""
    for folder in report_dir.glob(f"{_PREFIX}????????"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED:
                rmtree(folder, ignore_errors=True)


@contextmanager
def one_at_a_time(report_dir: Path) -> Iterator[None]:
    """Hold the report folder while a report is written to it; the lock of a killed run is free at once.

    Where locks don't work (some network file systems) or another run holds it for a minute, go on without:
    a report that is late helps less than one that may have lost another run's files.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(report_dir / _LOCK, timeout=_PATIENCE)
    with warnings.catch_warnings(), suppress(Timeout, OSError):
        warnings.simplefilter("ignore")  # that a file system has no locks; an error under -W error
        lock.acquire()
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # unlinked while it is held: who waits for it notices (filelock >= 3.21)
                (report_dir / _LOCK).unlink()
            lock.release()


def put_in_place(config: pytest.Config, report_dir: Path) -> None:
    """Replace the last report's export folders by this run's.

    In a folder that holds no report of ours, a folder ``exports`` is somebody else's: this run's are added to it.

    Raises:
        OSError: a folder can't be moved.
    """
    staging, final = staging_folder(config, report_dir), report_dir / _FINAL
    if final.is_dir() and is_report(report_dir):
        old = staging.with_name(f"{staging.name}.old")
        final.rename(old)
        rmtree(old, ignore_errors=True)
    if not staging.is_dir():
        return
    if not final.exists():
        staging.rename(final)
        return
    for folder in staging.iterdir():
        target = final / folder.name
        rmtree(target, ignore_errors=True)
        folder.rename(target)
    staging.rmdir()


def is_report(report_dir: Path) -> bool:
    """Whether the folder holds a report that this plugin wrote.

    It is told by the lines before its exports, which may be long.
    """
    try:
        with (report_dir / "report.json").open(encoding="utf-8", errors="replace") as stream:
            head = takewhile(lambda line: not line.startswith('"exports":'), stream)
            return any(line.startswith(_SCHEMA) for line in head)
    except OSError:
        return False
