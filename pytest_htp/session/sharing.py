"""Identical requests of one session share one export."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.capture.models import ResolvedModel
    from pytest_htp.exporter import HTPExport

# Finished exports keep their graph, and with it the model's weights, alive: a session of forty models must not keep forty.
_MAX_ENTRIES = 16
_MAX_BYTES = 2 * 2**30


@dataclass
class _Entry:
    export: HTPExport
    nodeid: str
    owner: object  # keeps identities in the key valid
    size: int


class SharedExports:
    """Least recently used exports by what was asked for."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()

    def find(self, key: tuple[Any, ...], folder: Path) -> tuple[HTPExport, str] | None:
        """The export for ``key`` with its files put into ``folder``, and the test that made it."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return _with_files_in(entry.export, folder), entry.nodeid

    def add(self, key: tuple[Any, ...], export: HTPExport, nodeid: str, owner: object) -> None:
        size = export.record["weights"]["initializers"]["bytes"]
        if export.data.external_data_size is None and export.record["weights"]["duplicates"] is None:
            size = 0  # exported without weights
        self._entries[key] = _Entry(export, nodeid, owner, size)
        while len(self._entries) > _MAX_ENTRIES or (
            len(self._entries) > 1 and sum(entry.size for entry in self._entries.values()) > _MAX_BYTES
        ):
            self._entries.popitem(last=False)


def request_key(resolved: ResolvedModel, inputs: Any, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal keys mean: same model and weights, same inputs, same options."""
    digest = hashlib.sha256()
    _feed(digest, inputs)
    chosen = tuple(sorted((name, repr(value)) for name, value in options.items() if name != "config"))
    return (*resolved.key, digest.hexdigest(), chosen, repr(options.get("config")))


def _feed(digest: Any, value: Any) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"tensor {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            digest.update(f"key {name!r}".encode("utf-8", "surrogatepass"))
            _feed(digest, item)
    elif isinstance(value, (tuple, list)):
        digest.update(f"sequence {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    elif value is None or isinstance(value, (str, int, float, bool)):
        digest.update(repr(value).encode("utf-8", "surrogatepass"))
    else:
        digest.update(f"object {id(value)}".encode())  # a cache object: shared only with itself


def _with_files_in(export: HTPExport, folder: Path) -> HTPExport:
    """The same export, its files in another folder (those of the first test may be gone by now)."""
    from pytest_htp.exporter.save import save_model

    structure_only = export.record["weights"]["duplicates"] is None
    path = folder / export.onnx_path.name
    try:
        save_model(export.program, path, structure_only=structure_only, parameters=set())
        moved = {}
        for name in ("metadata_path", "report_path", "console_path"):
            source: Path = getattr(export, name)
            moved[name] = folder / source.name
            copyfile(source, moved[name])
    except OSError as error:
        raise HTPUsageError(f"a shared export can't be written to {folder}: {error}") from error
    return replace(export, onnx_path=path, **moved)
