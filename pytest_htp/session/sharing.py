"""Identical requests of one session share one export."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.capture.models import ResolvedModel
    from pytest_htp.exporter import HTPExport
    from pytest_htp.exporter.options import ExportOptions

# Finished exports keep their graph, and with it the model's weights, alive: a session of forty models must
# not keep forty.
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
        if export.data.external_data_size is None and not export.record["weights"]["kept"]:
            size = 0  # exported without weights
        # What the first test does to its result must not show in the next one's.
        self._entries[key] = _Entry(_own(export), nodeid, owner, size)
        while len(self._entries) > _MAX_ENTRIES or (
            len(self._entries) > 1 and sum(entry.size for entry in self._entries.values()) > _MAX_BYTES
        ):
            self._entries.popitem(last=False)


def request_key(resolved: ResolvedModel, inputs: Any, options: ExportOptions) -> tuple[Any, ...] | None:
    """Equal keys mean: same model and weights, same inputs, same options.

    None where the inputs hold objects whose content can't be told: such a request shares nothing.
    """
    from torch.utils import _pytree as pytree

    from pytest_htp.capture.sharing import code_key

    # knows transformers' caches as well
    if not all(isinstance(stage, str) for stage in options.stages):
        return None  # what a function of the user's does can't be told
    leaves, structure = pytree.tree_flatten((inputs, list(options.parity_inputs), options.calibration))
    digest = hashlib.sha256(repr(structure).encode("utf-8", "surrogatepass"))
    if not all(_feed(digest, leaf) for leaf in leaves):
        return None
    names = [field.name for field in fields(options) if field.name not in ("parity_inputs", "calibration")]
    chosen = tuple((name, repr(getattr(options, name))) for name in names)
    return (
        *resolved.key,
        code_key(resolved.module, is_transformers=resolved.is_transformers),
        digest.hexdigest(),
        chosen,
    )


def _feed(digest: Any, leaf: Any) -> bool:
    """Add a leaf's content to the digest; False where it has none that could be told."""
    import torch

    if isinstance(leaf, torch.Tensor):
        tensor = leaf.detach().cpu().contiguous()
        digest.update(f"tensor {tensor.dtype} {tuple(tensor.shape)} {leaf.device}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        return True
    if leaf is None or isinstance(leaf, (str, bytes, int, float, complex, torch.dtype)):
        digest.update(f"{type(leaf).__name__} {leaf!r}".encode("utf-8", "surrogatepass"))
        return True
    return False


def _with_files_in(export: HTPExport, folder: Path) -> HTPExport:
    """The same export for another test, with files (those of the first may be gone) and data of its own."""
    from pytest_htp.exporter.save import save_model
    from pytest_htp.exporter.staging import moved_to

    structure_only = not export.record["weights"]["kept"]
    path = folder / export.onnx_path.name
    try:
        save_model(export.program, path, structure_only=structure_only, parameters=set(export.parameters))
        moved = {}
        for name in ("metadata_path", "report_path", "console_path"):
            source: Path = getattr(export, name)
            moved[name] = folder / source.name
            copyfile(source, moved[name])
        stages = {name: moved_to(stage, folder) for name, stage in export.stages.items()}
    except OSError as error:
        raise HTPUsageError(f"a shared export can't be written to {folder}: {error.strerror or error}") from error
    return replace(
        _own(export),
        onnx_path=path,
        metadata_path=moved["metadata_path"],
        report_path=moved["report_path"],
        console_path=moved["console_path"],
        stages=stages,
    )


def _own(export: HTPExport) -> HTPExport:
    """A copy that shares nothing a test could change, but for the weights' tensors."""
    programs = [export.program, *(stage.program for stage in export.stages.values())]
    return deepcopy(export, {id(program): program.clone() for program in programs})
