"""The syrupy extension that stores one record per file."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from pytest_htp.baseline import FOLDER
from pytest_htp.format.atomic import TEMPORARY, write_text

# A temporary file lives for milliseconds; one this old (seconds) is left of a run that was killed.
_ABANDONED = 3600


class HTPLocation(PyTestLocation):
    """The place of a test whose baselines' names were made for it: syrupy's check by prefix can't know."""

    def matches_snapshot_location(self, snapshot_location: str) -> bool:
        return True


class HTPBaselineExtension(SingleFileSnapshotExtension):
    """Canonical JSON, one export per file, named by the caller, written atomically, never deleted.

    syrupy decides what is unused by what was *selected*; an interrupted or filtered run would delete live baselines. So
    this extension reports no discovered files and refuses to delete: ``--htp-prune`` does that, by other rules. The
    index given to the assertion is the path of the file below the test file's baseline folder, without suffix.
    """

    _write_mode = WriteMode.TEXT
    file_extension = "json"
    write_immediately = True

    def serialize(self, data: object, **options: object) -> str:
        return str(data)

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        test_file = Path(test_location.filepath)
        return str(test_file.parent / FOLDER / test_file.stem)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: object) -> str:
        return str(index)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: object = 0) -> str:
        return f"{test_location.snapshot_name}[{index}]"

    def read_snapshot_data_from_location(
        self, *, snapshot_location: str, snapshot_name: str, session_id: str
    ) -> str | None:
        """The file's text; ``""``, equal to no record, for one that can't be read and will be replaced."""
        try:
            return Path(snapshot_location).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            return ""

    def discover_snapshots(self, **options: object) -> SnapshotCollections:
        return SnapshotCollections()

    def delete_snapshots(self, **options: object) -> None:
        """Never: see the class."""

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        snapshot = next(iter(snapshot_collection))
        path = Path(snapshot_collection.location)
        _sweep(path.parent)
        write_text(path, str(snapshot.data))


def _sweep(folder: Path) -> None:
    """Remove temporary files that killed runs left in a baseline folder."""
    for path in folder.glob(f"{TEMPORARY}????????"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _ABANDONED:
                path.unlink()
