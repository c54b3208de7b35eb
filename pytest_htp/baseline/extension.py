"""The syrupy extension that stores one record per file."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from pytest_htp.baseline import FOLDER
from pytest_htp.format.serialize import dumps

_TEMPORARY = ".htp-"
# A temporary file lives for milliseconds; one this old (seconds) is left of a run that was killed.
_ABANDONED = 3600


class HTPBaselineExtension(SingleFileSnapshotExtension):
    """Canonical JSON, one export per file, named by the caller, written atomically, never deleted.

    syrupy decides what is unused by what was *selected*; an interrupted or filtered run would delete live
    baselines. So this extension reports no discovered files and refuses to delete: ``--htp-prune`` does that,
    by other rules. The index given to the assertion is the path of the file below the test file's baseline
    folder, without suffix.
    """

    _write_mode = WriteMode.TEXT
    file_extension = "json"
    write_immediately = True

    def serialize(self, data: Any, **options: Any) -> str:
        return data if isinstance(data, str) else dumps(data)

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        test_file = Path(test_location.filepath)
        return str(test_file.parent / FOLDER / test_file.stem)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: Any) -> str:
        return str(index)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        return f"{test_location.snapshot_name}[{index}]"

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        return True  # the name was made for this test; syrupy's check by prefix can't know

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

    def discover_snapshots(self, **options: Any) -> SnapshotCollections:
        return SnapshotCollections()

    def delete_snapshots(self, **options: Any) -> None:
        """Never: see the class."""

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        snapshot = next(iter(snapshot_collection))
        path = Path(snapshot_collection.location)
        _sweep(path.parent)
        write_text(path, str(snapshot.data))


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by a file that holds ``text``, at once: readers see the old or the new one, whole.

    Raises:
        OSError: it can't be written; the old file is untouched and nothing else is left behind.
    """
    # Encoded first: a name that can't be encoded must not cost the old file. The temporary name stays short,
    # since a
    # baseline's name may already be near the limit of the file system.
    content = text.encode("utf-8")
    temporary = path.with_name(f"{_TEMPORARY}{token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - fault injection patches os.replace
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _sweep(folder: Path) -> None:
    """Remove temporary files that killed runs left in a baseline folder."""
    for path in folder.glob(f"{_TEMPORARY}????????"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _ABANDONED:
                path.unlink()
