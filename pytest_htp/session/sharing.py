"""Identical requests of one session share one export."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.exporter.result import HTPExport

# Finished exports keep their graph, and with it the model's weights, alive: a session of forty models must
# not keep forty.
_MAX_ENTRIES = 16
_MAX_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Made:
    """An export of a test, and whether it was made, shared with another test, or taken from the cache.

    Attributes:
        shared_with: node id of the test that made it, None where this one did.
        cached: it was taken from the cache, by this test or the one it shares with.
        note: what the cache says of it: ``hit``, ``miss: net.py changed``; empty without a cache.
        structures: file name → graph without weights; empty where nobody wants them.
        contradiction: how the cache's entry differs; empty where it was not asked or agrees.
    """

    export: HTPExport
    shared_with: str | None = None
    cached: bool = False
    note: str = ""
    structures: Mapping[str, bytes] = field(default_factory=dict)
    contradiction: str = ""


@dataclass
class _Entry:
    made: Made
    nodeid: str
    size: int


class SharedExports:
    """Least recently used exports by the keys of their requests (see :mod:`pytest_htp.cache.request`)."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def find(self, key: str, folder: Path) -> Made | None:
        """What was made for ``key``, with its files put into ``folder``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return replace(entry.made, export=_with_files_in(entry.made.export, folder), shared_with=entry.nodeid)

    def add(self, key: str, made: Made, nodeid: str) -> None:
        """Keep an export for later tests of this process; the oldest go when there are too many or too large ones."""
        export = made.export
        size = export.record["weights"]["initializers"]["bytes"]
        if export.data.external_data_size is None and not export.record["weights"]["kept"]:
            size = 0  # exported without weights
        # What the first test does to its result must not show in the next one's.
        self._entries[key] = _Entry(replace(made, export=_own(export)), nodeid, size)
        while len(self._entries) > _MAX_ENTRIES or (
            len(self._entries) > 1 and sum(entry.size for entry in self._entries.values()) > _MAX_BYTES
        ):
            self._entries.popitem(last=False)


def _with_files_in(export: HTPExport, folder: Path) -> HTPExport:
    """The same export for another test, with files (those of the first may be gone) and data of its own."""
    from pytest_htp.exporter.save import save_model
    from pytest_htp.exporter.staging import moved_to

    structure_only = not export.record["weights"]["kept"]
    path = folder / export.onnx_path.name
    try:
        save_model(export.program, path, structure_only=structure_only, parameters=set(export.parameters))
        for source in (export.metadata_path, export.report_path, export.console_path):
            copyfile(source, folder / source.name)
        stages = {name: moved_to(stage, folder) for name, stage in export.stages.items()}
    except OSError as error:
        raise HTPUsageError(f"a shared export can't be written to {folder}: {error.strerror or error}") from error
    return replace(
        _own(export),
        onnx_path=path,
        metadata_path=folder / export.metadata_path.name,
        report_path=folder / export.report_path.name,
        console_path=folder / export.console_path.name,
        stages=stages,
    )


def _own(export: HTPExport) -> HTPExport:
    """A copy that shares nothing a test could change, but for the weights' tensors."""
    programs = [export.program, *(stage.program for stage in export.stages.values())]
    return deepcopy(export, {id(program): program.clone() for program in programs})
