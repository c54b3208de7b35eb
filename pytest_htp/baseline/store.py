"""The baselines of one test: read, confirmed, reported as different, written, through syrupy's assertion."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_htp.baseline import FOLDER
from pytest_htp.baseline.naming import (
    baseline_folder,
    baseline_path,
    digest,
    slug_and_digest,
    slug_of_test,
    slugify,
)
from pytest_htp.baseline.stored import Stored
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.load import load_record
from pytest_htp.format.record import Record
from pytest_htp.format.serialize import dumps

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


class BaselineUnwritable(Exception):
    """The system refused to write a baseline (full disk, read-only folder); the old file is as it was.

    Attributes:
        reason: what the system said.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BaselineStore:
    """Baselines of one test item.

    Args:
        test_id: the node id behind the test's file, as it was collected.
        variant: name of the toolchain's variant; its file is used where there is one, else the common one.
    """

    def __init__(self, item: pytest.Item, *, test_id: str, variant: str = "") -> None:
        self._root = item.config.rootpath
        self._start = item.config.invocation_params.dir
        self._test_id = test_id
        self._file = item.path
        self._variant = variant
        self.update = bool(item.config.getoption("update_snapshots", False))
        self._update_new = bool(item.config.getoption("update_new_snapshots_only", False))
        self._snapshot = _assertion(item, update=self.update, update_new=self._update_new)

    def path(self, export_name: str) -> Path:
        """The file in use: the variant's where it exists (or is about to be written), else the common one."""
        common = self._common(export_name)
        if not self._variant:
            return common
        own = baseline_path(self._file, self._test_id, export_name, self._variant)
        return own if _is_there(own) or self.update or not _is_there(common) else common

    def shown_path(self, export_name: str) -> str:
        """The file's path relative to the root directory, for messages and reports."""
        return self.shown(self.path(export_name))

    def shown(self, path: Path) -> str:
        """A path relative to the root directory."""
        return Path(os.path.relpath(path, self._root)).as_posix()

    def read(self, export_name: str) -> Stored | None:
        """The stored baseline, None where there is none."""
        path = self.path(export_name)
        link = self._link_in(path)
        if link is not None:
            problem, remedy = self._refusal(link)
            return Stored(path, None, problem, remedy)
        return _stored(path) if _is_there(path) else None

    def not_made(self, made: Iterable[str]) -> list[Stored]:
        """The baselines of this test that belong to none of the exports ``made``, sorted by path."""
        names = {self._common(name).name for name in made}
        folder = baseline_folder(self._file)
        places = [folder, folder / slugify(self._variant)] if self._variant else [folder]
        mine = f"-{digest(self._test_id)}"
        files = [
            place / name
            for place in places
            for name in _names_in(place)  # of all tests of the file: by far most are another's
            if name.endswith(".json") and name[: -len("0000.json")].endswith(mine) and name not in names
        ]
        found = (_stored(path) for path in sorted(files) if not path.is_symlink())
        return [stored for stored in found if self._is_mine(stored)]

    def _is_mine(self, stored: Stored) -> bool:
        """Whether a file with this test's digest (of four digits) is this test's: it says so, or its name does."""
        if stored.record is not None and stored.record.test:
            return stored.record.test == self._test_id
        named = slug_and_digest(stored.path.name)
        return named is not None and named[0].startswith(slug_of_test(self._test_id))

    def will_write(self, stored: Stored | None) -> bool:
        """Whether this run may write: ``--snapshot-update``, new ones with ``--snapshot-update-new-only``."""
        return self.update or (self._update_new and stored is None)

    def write(self, export_name: str, record: Record) -> str:
        """Write what changed; ``created``, ``updated`` or ``unchanged``.

        Raises:
            HTPUsageError: there is a link or a folder in the file's place.
            BaselineUnwritable: the system refused; the old file is untouched.
        """
        path = self.path(export_name)
        link = self._link_in(path)
        if link is not None:
            problem, remedy = self._refusal(link)
            raise HTPUsageError(f"{problem}; replace it by what it points to:\n  {remedy}")
        if path.is_dir():
            raise HTPUsageError(f"{self.shown_path(export_name)} is a folder, baselines are files: remove it")
        existed = _is_there(path)
        content = dumps(record)
        if not existed and self._variant and _text_of(self._common(export_name)) == content:
            return "unchanged"  # the common baseline says it for this toolchain as well
        matched = self._assert(path, content)
        result = self._snapshot.executions[self._snapshot.num_executions - 1]
        if not matched:
            reason = result.exception
            raise BaselineUnwritable(str(getattr(reason, "strerror", None) or reason or "syrupy refused it"))
        if not result.updated and not result.created:
            return "unchanged"
        return "updated" if existed else "created"

    def confirm(self, export_name: str) -> None:
        """Count a baseline that holds in syrupy's summary."""
        path = self.path(export_name)
        text = _text_of(path)
        if text is not None:
            self._assert(path, text)

    def report_mismatch(self, export_name: str, record: Record) -> None:
        """Count a baseline that fails in syrupy's summary."""
        self._assert(self.path(export_name), dumps(record))

    def _common(self, export_name: str) -> Path:
        return baseline_path(self._file, self._test_id, export_name)

    def _link_in(self, path: Path) -> Path | None:
        """The first link on the way to a baseline that is inside the baseline folder: it may lead anywhere."""
        folder = self._file.parent / FOLDER
        inside = [path, *(parent for parent in path.parents if parent.is_relative_to(folder))]
        return next((place for place in reversed(inside) if place.is_symlink()), None)

    def _refusal(self, link: Path) -> tuple[str, str]:
        """What is wrong with a link, and the shell's command that mends it."""
        message = f"{self.shown(link)} is a symbolic link; baselines are plain files in plain folders"
        shown = os.path.relpath(link, self._start)
        name, copy = shlex.quote(shown), shlex.quote(f"{shown}.copy")
        return message, f"cp -RL {name} {copy} && rm {name} && mv {copy} {name}" if link.exists() else f"rm {name}"

    def _assert(self, path: Path, content: str) -> bool:
        index = path.relative_to(baseline_folder(self._file)).with_suffix("").as_posix()
        return bool(self._snapshot(name=index) == content)


def _assertion(item: pytest.Item, *, update: bool, update_new: bool) -> SnapshotAssertion:
    """Syrupy's own, not what the fixture ``snapshot`` gives, which may be one of the project's."""
    from syrupy.assertion import SnapshotAssertion

    from pytest_htp.baseline.extension import HTPBaselineExtension, HTPLocation

    session = getattr(item.config, "_syrupy", None)
    if session is None:
        raise HTPUsageError("baselines are stored with syrupy, which is switched off: leave out -p no:syrupy")
    return SnapshotAssertion(
        session=session,
        extension_class=HTPBaselineExtension,
        test_location=HTPLocation(item),
        update_snapshots=update,
        update_new_snapshots_only=update_new,
    )


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except OSError:
        return []


def _stored(path: Path) -> Stored:
    try:
        return Stored(path, load_record(path))
    except HTPUsageError as error:
        return Stored(path, None, str(error))


def _is_there(path: Path) -> bool:
    """Whether something is at the path, if only something that can't be looked at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
