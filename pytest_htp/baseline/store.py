"""The baselines of one test: read, confirmed, reported as different, written. All through syrupy's assertion."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.baseline.naming import baseline_folder, baseline_path, baseline_stem
from pytest_htp.errors import HTPUsageError
from pytest_htp.record.load import load
from pytest_htp.record.serialize import dumps

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

# Parity is noise below this many decades of change (contract 6, parity.worse); a smaller change is not worth a new file.
_PARITY_DECADES = 2


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
        variant: name of the toolchain's variant; its file is used where there is one, else the common one.
    """

    def __init__(self, item: pytest.Item, snapshot: SnapshotAssertion, variant: str = "") -> None:
        from pytest_htp.baseline.extension import HTPBaselineExtension

        self._item = item
        self._test_id = item.nodeid.partition("::")[2] or item.name
        self._file = item.path
        self._variant = variant
        self._snapshot = snapshot.use_extension(HTPBaselineExtension)
        self._update = bool(item.config.getoption("update_snapshots", False))
        self._update_new = bool(item.config.getoption("update_new_snapshots_only", False))

    def stem(self, export_name: str) -> str:
        """The baseline's file name without suffix; also names the export's folder in the report."""
        return baseline_stem(self._test_id, export_name)

    def path(self, export_name: str) -> Path:
        """The file in use: the variant's where it exists (or is about to be written), else the common one."""
        common = baseline_path(self._file, self._test_id, export_name)
        if not self._variant:
            return common
        own = baseline_path(self._file, self._test_id, export_name, self._variant)
        return own if own.exists() or self._update or not common.exists() else common

    def shown_path(self, export_name: str) -> str:
        """The file's path relative to the root directory, for messages and reports."""
        return Path(os.path.relpath(self.path(export_name), self._item.config.rootpath)).as_posix()

    def read(self, export_name: str) -> Stored | None:
        """The stored baseline, None where there is none."""
        path = self.path(export_name)
        if not path.exists() and not path.is_symlink():
            return None
        try:
            return Stored(path, load(path))
        except HTPUsageError as error:
            return Stored(path, None, str(error))

    def will_write(self, before: dict[str, Any] | None) -> bool:
        """Whether this run may write: ``--snapshot-update``, or only new ones with ``--snapshot-update-new-only``."""
        return self._update or (self._update_new and before is None)

    def write(self, export_name: str, record: dict[str, Any], before: dict[str, Any] | None) -> str:
        """Write what changed; ``created``, ``updated`` or ``unchanged``.

        Raises:
            HTPUsageError: the file can't be written; the old one is untouched.
        """
        path = self.path(export_name)
        if path.is_symlink() or path.is_dir():
            raise HTPUsageError(f"{self.shown_path(export_name)} is a link or folder; baselines are plain files: remove it")
        existed = path.exists()
        matched = self._assert(export_name, carried_over(before, record))
        result = self._snapshot.executions[self._snapshot.num_executions - 1]
        if not matched:
            reason = result.exception or "syrupy refused it"
            raise HTPUsageError(f"the baseline {self.shown_path(export_name)} can't be written: {reason}")
        if not result.updated and not result.created:
            return "unchanged"
        return "updated" if existed else "created"

    def confirm(self, export_name: str) -> None:
        """Count a baseline that holds in syrupy's summary."""
        self._assert(export_name, self.path(export_name).read_text(encoding="utf-8"))

    def report_mismatch(self, export_name: str, record: dict[str, Any]) -> None:
        """Count a baseline that fails in syrupy's summary."""
        self._assert(export_name, record)

    def _assert(self, export_name: str, data: Any) -> bool:
        path = self.path(export_name)
        index = path.relative_to(baseline_folder(self._file)).with_suffix("").as_posix()
        return bool(self._snapshot(name=index) == data)


def carried_over(before: dict[str, Any] | None, current: dict[str, Any]) -> dict[str, Any]:
    """The record to store: today's, with what today could not measure taken from the baseline.

    So a team can record with real weights and gate without them; and parity that moved within its noise leaves the file as it is.
    """
    if before is None:
        return current
    merged = dict(current)
    for section in ("parity", "attestation"):
        if before[section].get("measured") and not current[section].get("measured"):
            merged[section] = before[section]
    if current["weights"]["duplicates"] is None and before["weights"]["duplicates"] is not None:
        merged["weights"] = {**current["weights"], "duplicates": before["weights"]["duplicates"]}
    if before["parity"].get("measured") and current["parity"].get("measured") and _same_but_noise(
        before["parity"], current["parity"]
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
