"""The folder in which rounds are kept, so that the same command goes on where it was stopped."""

from __future__ import annotations

import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

import msgspec
from packaging.version import Version

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import write_text
from pytest_htp.report.merge import read_report
from pytest_htp.report.result import Report

FOLDER = ".htp-bisect"
_WHOLE = 2**20  # bytes up to which a file is identified by its content, above by size and time
_NOT_OF_THE_PROJECT = ("__pycache__", "htp-report", "node_modules")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A round as it is written down.

    Attributes:
        report_sha256: of its report.json; None where the round left none (``trouble`` says why).
        trouble: why there is no report, in one line.
        exports: how many were made.
        seconds: of installing and running.
    """

    versions: dict[str, str]
    report_sha256: str | None
    trouble: str = ""
    notes: list[str] = []
    exports: int = 0
    seconds: float = 0.0


def state_of(root: Path, arguments: Sequence[str]) -> Path:
    """The folder for these tests of this project in this environment; made if missing.

    Everything that may change what the tests export is in its name: pytest's arguments, the files around it, and what
    is installed. Files above 1 MiB are identified by size and time of their last change.

    Raises:
        HTPUsageError: it can't be made.
    """
    folder = Path(FOLDER)
    digest = hashlib.sha256()
    installed = sorted(f"{item.name}=={item.version}" for item in distributions())
    for text in (sys.version, os.environ.get("PYTEST_ADDOPTS", ""), *arguments, *installed):
        digest.update(f"{len(text)} {text}".encode(errors="surrogateescape"))
    for place in _folders_of(root):
        for path in _files(place):
            digest.update(f"{path.relative_to(place).as_posix()}\0".encode(errors="surrogateescape"))
            digest.update(_identity_of(path))
    state = folder / digest.hexdigest()[:12]
    try:
        state.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            write_text(ignore, "*\n")
    except OSError as error:
        raise HTPUsageError(f"rounds can't be kept in {folder}: {error.strerror or error}") from error
    return state


def folder_of_round(state: Path, pins: Mapping[str, Version], only: frozenset[str] | None) -> Path:
    """Where a round with these versions is kept."""
    tests = hashlib.sha256("\0".join(sorted(only)).encode(errors="surrogateescape")).hexdigest() if only else ""
    names = "_".join(f"{name}-{number}" for name, number in sorted(pins.items()))
    short = hashlib.sha256(f"{names}\0{tests}".encode()).hexdigest()[:8]
    return state / f"{names[:60]}-{short}"


def read_round(folder: Path) -> tuple[Kept, Report | None] | None:
    """A round that was kept whole; None where there is none, or its report is not the one that was written."""
    try:
        kept = msgspec.json.decode((folder / "round.json").read_bytes(), type=Kept)
        if kept.report_sha256 is None:
            return None  # tried again: what kept it from running may be gone
        if report_sha256(folder) != kept.report_sha256:
            return None
        return kept, read_report(folder)
    except (OSError, msgspec.MsgspecError, HTPUsageError):
        return None


def keep_round(folder: Path, kept: Kept) -> None:
    """Write a round down; from now on it counts."""
    write_text(folder / "round.json", msgspec.json.encode(kept).decode())


def report_sha256(folder: Path) -> str | None:
    """Of the folder's report.json; None where it has none."""
    try:
        return hashlib.sha256((folder / "report.json").read_bytes()).hexdigest()
    except OSError:
        return None


def _folders_of(root: Path) -> list[Path]:
    """The project's, and those of other code that Python finds beside what is installed (PYTHONPATH, editable)."""
    paths = sysconfig.get_paths()
    installed = [Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed += [Path(folder).resolve() for folder in (*site.getsitepackages(), sys.base_prefix, sys.prefix)]
    found = [root.resolve()]
    for entry in sys.path:
        folder = Path(entry).resolve()
        known = any(folder.is_relative_to(place) for place in (*found, *installed))
        if folder.is_dir() and not known:
            found.append(folder)
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if _is_of_the_project(Path(folder, name)))
        yield from (Path(folder, name) for name in sorted(files) if not name.endswith((".pyc", ".lock")))


def _is_of_the_project(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _NOT_OF_THE_PROJECT
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _identity_of(path: Path) -> bytes:
    try:
        status = path.stat()
        if status.st_size > _WHOLE:
            return f"{status.st_size} {status.st_mtime_ns}".encode()
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b"unreadable"


def project_root(start: Path) -> Path:
    """The nearest folder above that is a repository, else ``start``."""
    return next((folder for folder in _with_parents(start) if (folder / ".git").exists()), start)


def _with_parents(start: Path) -> Iterable[Path]:
    return (start.resolve(), *start.resolve().parents)
