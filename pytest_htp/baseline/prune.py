"""Which baselines have no test any more.

A baseline is stale when its test file is gone, or was collected as a whole without errors and no test in it
has the file name's test digest. Everything that was not collected as a whole (a node id on the command line,
``--ignore``, an import error, a last-failed run) says nothing about its baselines. Deselection (``-k``,
``-m``) doesn't matter: those tests were collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_htp.baseline import FOLDER
from pytest_htp.baseline.naming import digest_of_file


@dataclass
class Collected:
    """What a run's collection knows. Paths are absolute.

    Attributes:
        digests: test file → digests of all its tests, for files collected as a whole.
        folders: folders whose test files were all looked at.
    """

    digests: dict[Path, set[str]] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)


def stale_baselines(collected: Collected) -> list[Path]:
    """Baseline files without a test, sorted; never links, nor files that aren't named like a baseline."""
    found: set[Path] = set()
    for folder in sorted({*collected.folders, *(file.parent for file in collected.digests)}):
        for test_folder in _subfolders(folder / FOLDER):
            known = _tests_of(test_folder.name, folder, collected.digests)
            if known is None:
                if folder not in collected.folders or _file_exists(folder, test_folder.name):
                    continue
                known = set()
            for path in _files(test_folder):
                digest = digest_of_file(path.name)
                if digest is not None and digest not in known:
                    found.add(path)
    return sorted(found)


def prune(paths: Iterable[Path]) -> list[Path]:
    """Delete baseline files, and the folders that this empties; returns the deleted files.

    A file that can't be deleted is left out; the others go.
    """
    deleted = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue
        deleted.append(path)
        for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
            if FOLDER not in (folder.name, folder.parent.name, folder.parent.parent.name):
                break
            with suppress(OSError):
                folder.rmdir()
    return deleted


def _tests_of(stem: str, folder: Path, digests: Mapping[Path, set[str]]) -> set[str] | None:
    matching = [tests for file, tests in digests.items() if file.parent == folder and file.stem == stem]
    return set().union(*matching) if matching else None


def _file_exists(folder: Path, stem: str) -> bool:
    return any(path.stem == stem for path in folder.iterdir() if path.is_file())


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    """Baselines of the folder and of its variants' sub-folders."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from (inner for inner in sorted(path.iterdir()) if inner.is_file() and not inner.is_symlink())
