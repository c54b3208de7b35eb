"""Which baselines have no test any more.

A baseline is stale when its test file is gone, or was collected as a whole without errors, no test in it has the
file name's test digest, and its source doesn't say that the test may be there after all
(:mod:`pytest_htp.baseline.source`). Everything that was not collected as a whole (a node id on the command line,
``--ignore``, an import error, a last-failed run) says nothing about its baselines. Deselection (``-k``,
``-m``, ``--deselect``) doesn't matter: those tests were collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_htp.baseline import FOLDER
from pytest_htp.baseline.naming import slug_and_digest, slug_of_function
from pytest_htp.baseline.source import TestSource
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.load import load_record

# A file of another kind beside a test file may hold tests for some other plugin; data that big holds none.
_MAX_BYTES = 1 << 20


@dataclass
class Collected:
    """What a run's collection knows. Paths are absolute.

    Attributes:
        digests: test file → digests of all its tests, for files collected as a whole.
        folders: folders whose test files were all looked at.
        parameters: test file → slugs of its functions whose parameters all come from decorators → their names.
    """

    digests: dict[Path, set[str]] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    parameters: dict[Path, dict[str, set[str]]] = field(default_factory=dict)


@dataclass
class Stale:
    """Baseline files that no collected test has, sorted.

    Attributes:
        certain: their tests are gone.
        doubtful: their tests may be there, though this run did not collect them.
        likely: those of the doubtful whose function was collected, with other parameters, in a file that asks neither
            an option nor the environment.
    """

    certain: list[Path] = field(default_factory=list)
    doubtful: list[Path] = field(default_factory=list)
    likely: list[Path] = field(default_factory=list)


def stale_baselines(collected: Collected) -> Stale:
    """Baseline files without a test; never links, nor files that aren't named like a baseline."""
    found = Stale()
    for folder in sorted({*collected.folders, *(file.parent for file in collected.digests)}):
        for test_folder in _subfolders(folder / FOLDER):
            known = _tests_of(test_folder.name, folder, collected.digests)
            if known is None:
                if folder not in collected.folders or _file_exists(folder, test_folder.name):
                    continue
                known = set()
            named = [(path, slug_and_digest(path.name)) for path in _files(test_folder)]
            missing = [(path, name[0]) for path, name in named if name is not None and name[1] not in known]
            sources = _sources(folder, test_folder.name, collected) if missing else []
            for path, slug in missing:
                doubtful = any(source.may_hold(slug, parameters) for source, parameters in sources)
                (found.doubtful if doubtful else found.certain).append(path)
                if doubtful and _has_other_parameters(path, sources):
                    found.likely.append(path)
    return found


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


def _sources(folder: Path, stem: str, collected: Collected) -> list[tuple[TestSource, dict[str, set[str]]]]:
    """The files that may hold the tests of one baseline folder, each with what was collected of it.

    Python files, and such of other kinds as were not collected and speak of the fixture.
    """
    found = []
    for path in folder.iterdir():
        if path.stem != stem or not path.is_file():
            continue
        if path.suffix == ".py":
            found.append((TestSource(_text_of(path)), collected.parameters.get(path, {})))
        elif path not in collected.digests and "htp_export" in (_text_of(path) or ""):
            found.append((TestSource(None), {}))
    return found


def _has_other_parameters(path: Path, sources: list[tuple[TestSource, dict[str, set[str]]]]) -> bool:
    """Whether a baseline's function was collected, by what the baseline says of itself, but not its parameters."""
    try:
        owner = load_record(path).test or ""
    except HTPUsageError:
        return False
    function = slug_of_function(owner)
    return "[" in owner and any(function in collected and not source.asks for source, collected in sources)


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig") if path.stat().st_size <= _MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


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
