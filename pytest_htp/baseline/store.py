"""The baselines of one test: read, confirmed, reported as different, written, through syrupy's assertion."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.baseline import FOLDER
from pytest_htp.baseline.naming import baseline_folder, baseline_path
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.load import load
from pytest_htp.format.serialize import dumps

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

# Parity is noise below this many decades of change (contract 6, parity.worse); a smaller change is not worth
# a new file.
_PARITY_DECADES = 2

# Equal in two records of one graph, whether or not weights and ONNX Runtime were there.
_STRUCTURE = ("graph", "inputs", "model", "modules", "opset", "outputs", "untagged")


@dataclass(frozen=True)
class Stored:
    """A baseline file that is there. ``record`` is None where it can't be read; ``problem`` then says why."""

    path: Path
    record: dict[str, Any] | None
    problem: str | None = None

    def status(self, current: dict[str, Any]) -> str:
        if self.record is None:
            return "error"
        return "unchanged" if dumps(self.record) == dumps(carried_over(self.record, current)) else "changed"


class BaselineStore:
    """Baselines of one test item.

    Args:
        test_id: the node id behind the test's file, as it was collected.
        variant: name of the toolchain's variant; its file is used where there is one, else the common one.
    """

    def __init__(self, item: pytest.Item, snapshot: SnapshotAssertion, *, test_id: str, variant: str = "") -> None:
        from pytest_htp.baseline.extension import HTPBaselineExtension

        self._root = item.config.rootpath
        self._test_id = test_id
        self._file = item.path
        self._variant = variant
        self._snapshot = snapshot.use_extension(HTPBaselineExtension)
        self._update = bool(item.config.getoption("update_snapshots", False))
        self._update_new = bool(item.config.getoption("update_new_snapshots_only", False))

    def path(self, export_name: str) -> Path:
        """The file in use: the variant's where it exists (or is about to be written), else the common one."""
        common = self._common(export_name)
        if not self._variant:
            return common
        own = baseline_path(self._file, self._test_id, export_name, self._variant)
        return own if _is_there(own) or self._update or not _is_there(common) else common

    def shown_path(self, export_name: str) -> str:
        """The file's path relative to the root directory, for messages and reports."""
        return Path(os.path.relpath(self.path(export_name), self._root)).as_posix()

    def read(self, export_name: str) -> Stored | None:
        """The stored baseline, None where there is none."""
        path = self.path(export_name)
        try:
            self._refuse_links(path)
            return Stored(path, load(path)) if _is_there(path) else None
        except HTPUsageError as error:
            return Stored(path, None, str(error))

    def will_write(self, stored: Stored | None) -> bool:
        """Whether this run may write: ``--snapshot-update``, new ones with ``--snapshot-update-new-only``."""
        return self._update or (self._update_new and stored is None)

    def write(self, export_name: str, record: dict[str, Any], before: dict[str, Any] | None) -> str:
        """Write what changed; ``created``, ``updated`` or ``unchanged``.

        Raises:
            HTPUsageError: the file can't be written; the old one is untouched.
        """
        path = self.path(export_name)
        self._refuse_links(path)
        if path.is_dir():
            raise HTPUsageError(f"{self.shown_path(export_name)} is a folder, baselines are files: remove it")
        existed = _is_there(path)
        content = dumps(carried_over(before, record))
        if not existed and self._variant and _text_of(self._common(export_name)) == content:
            return "unchanged"  # the common baseline says it for this toolchain as well
        matched = self._assert(path, content)
        result = self._snapshot.executions[self._snapshot.num_executions - 1]
        if not matched:
            reason = result.exception
            shown = getattr(reason, "strerror", None) or reason or "syrupy refused it"
            raise HTPUsageError(
                f"the baseline {self.shown_path(export_name)} can't be written ({shown}); what was there is as it was"
            )
        if not result.updated and not result.created:
            return "unchanged"
        return "updated" if existed else "created"

    def confirm(self, export_name: str) -> None:
        """Count a baseline that holds in syrupy's summary."""
        path = self.path(export_name)
        text = _text_of(path)
        if text is not None:
            self._assert(path, text)

    def report_mismatch(self, export_name: str, record: dict[str, Any]) -> None:
        """Count a baseline that fails in syrupy's summary."""
        self._assert(self.path(export_name), dumps(record))

    def _common(self, export_name: str) -> Path:
        return baseline_path(self._file, self._test_id, export_name)

    def _refuse_links(self, path: Path) -> None:
        """Nothing is read or written through a link inside the baseline folder: it may lead anywhere.

        Raises:
            HTPUsageError: names the link.
        """
        inside = [
            path,
            *(parent for parent in path.parents if parent.is_relative_to(self._file.parent / FOLDER)),
        ]
        for place in inside:
            if place.is_symlink():
                shown = Path(os.path.relpath(place, self._root)).as_posix()
                raise HTPUsageError(
                    f"{shown} is a symbolic link; baselines are plain files in plain folders: "
                    "replace it by what it points to"
                )

    def _assert(self, path: Path, content: str) -> bool:
        index = path.relative_to(baseline_folder(self._file)).with_suffix("").as_posix()
        return bool(self._snapshot(name=index) == content)


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


def carried_over(before: dict[str, Any] | None, current: dict[str, Any]) -> dict[str, Any]:
    """The record to store: today's, with what today could not measure taken from the baseline.

    So a team can record with real weights and gate without them; and parity that moved within its noise
    leaves the file as it is. What was measured holds for the graph it was measured on: with another structure
    the record says "not measured".
    """
    if before is None or any(before.get(section) != current.get(section) for section in _STRUCTURE):
        return current
    merged = dict(current)
    for section in ("parity", "attestation"):
        if before[section].get("measured") and not current[section].get("measured"):
            merged[section] = before[section]
    if before["weights"]["kept"] and not current["weights"]["kept"]:
        merged["weights"] = {**current["weights"], "kept": True, "duplicates": before["weights"]["duplicates"]}
    if (
        before["parity"].get("measured")
        and current["parity"].get("measured")
        and _same_but_noise(before["parity"], current["parity"])
    ):
        merged["parity"] = before["parity"]
    return merged


def _same_but_noise(before: dict[str, Any], current: dict[str, Any]) -> bool:
    if [row["name"] for row in before["outputs"]] != [row["name"] for row in current["outputs"]]:
        return False
    if before.get("failed") != current.get("failed"):
        return False
    if before.get("first_divergence") != current.get("first_divergence"):
        return False
    return all(
        abs(_decade(old[key]) - _decade(new[key])) <= _PARITY_DECADES
        for old, new in zip(before["outputs"], current["outputs"], strict=True)
        for key in ("max_abs", "max_rel")
    )


def _decade(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 300.0
    return math.log10(value) if 0 < value < math.inf else (-300.0 if value == 0 else 300.0)
