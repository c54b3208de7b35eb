"""Exports taken from the cache, and put into it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pytest_htp.cache.codec import decode, encode, same
from pytest_htp.cache.lines import anchored, as_of_today
from pytest_htp.cache.request import Request, difference
from pytest_htp.cache.store import FOLDER, Broken, Store, checked_names
from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.exporter.result import HTPExport

_STORY = ("record", "tags", "coverage", "attestation", "sources")  # what reports and findings are made of
_TEXTS = "*_htp_*"  # the monitor's files, which name the folder they lie in


@dataclass(frozen=True)
class Kept:
    """An export from the cache; ``structures`` are its graphs without weights, by file name."""

    export: HTPExport
    structures: dict[str, bytes]


class ExportCache:
    """A store as one process uses it. Nothing here fails a test: trouble is one line in ``problems``.

    Attributes:
        problems: what is wrong with the folder, each thing once.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._store = Store(folder, limit)
        self._writable = True
        self.problems: list[str] = []
        if self._store.of_another_edition():
            self._problem("it is of another version of pytest-htp; everything is exported anew")

    def find(self, request: Request, folder: Path) -> Kept | None:
        """The export that a request gave before, with its files put into ``folder``."""
        try:
            entry = self._store.read("entries", request.key, folder)
            if entry is None:
                return None
            for name, described in checked_names(entry.get("files")).items():
                if (folder / name).match(_TEXTS):
                    text = self._whole(described).replace(FOLDER.encode(), os.fsencode(folder))
                    (folder / name).write_bytes(text)
                else:
                    self._store.copy_file(described, folder / name)
            kept = checked_names(entry.get("structures"))
            structures = {name: self._whole(described) for name, described in kept.items()}
            export = decode(entry.get("export"), folder)
            if structures.keys() != {made.onnx_path.name for made in (export, *export.stages.values())}:
                raise Broken("an entry has other graphs than its export")
        except (Broken, OSError) as error:
            self._clear(folder)
            self._problem(f"{error}; exported instead")
            return None
        today = as_of_today(export.sources, request.codes, Path.cwd())
        return Kept(replace(export, sources=today), structures)

    def add(self, request: Request, export: HTPExport, structures: Mapping[str, bytes]) -> None:
        """Keep an export, its files, and its graphs without weights."""
        failed = export.stage_failure is not None or not all(target.compiled for target in export.targets.values())
        if not self._writable or failed:  # what failed may work the next time
            return
        folder = export.onnx_path.parent
        kept = replace(export, sources=anchored(export.sources, request.codes))
        try:
            files = {}
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                text = file.match(_TEXTS)
                content = file.read_bytes().replace(os.fsencode(folder), FOLDER.encode()) if text else file
                files[file.relative_to(folder).as_posix()] = self._store.add_file(content)
            entry = {
                "files": files,
                "structures": {name: self._store.add_file(content) for name, content in structures.items()},
                "export": encode(kept),
            }
            self._store.write("entries", request.key, entry, folder)
        except (OSError, HTPUsageError) as error:
            self._writable = not isinstance(error, OSError)
            self._problem(f"nothing can be kept in it: {getattr(error, 'strerror', None) or error}")
        except (ValueError, TypeError, UnicodeError) as error:
            self._problem(f"an export can't be kept: {error}")

    def contradiction(self, request: Request, export: HTPExport) -> str:
        """What a cached export says that today's does not; empty where they agree, or where there is none."""
        with TemporaryDirectory(prefix="htp-") as place:
            found = self.find(request, Path(place))
        if found is None:
            return ""
        cached = found.export
        different = [name for name in _STORY if not same(getattr(cached, name), getattr(export, name))]
        if not different:
            return ""
        rows = [key for key in export.record if not same(cached.record.get(key), export.record[key])]
        return (
            f"the cache would have told another story ({', '.join(different)} differ"
            + (f"; of the record: {', '.join(rows)}" if rows else "")
            + "): something that this export depends on is not known to it; please report it with the model, and run "
            "without --htp-cache meanwhile"
        )

    def explain(self, who: str, request: Request) -> str:
        """Why there was no entry: ``miss: net.py changed``; ``who`` names the test and its export."""
        try:
            known = self._store.read("last", _key(who)) or {}
        except Broken:
            known = {}
        before = known.get("ingredients")
        if not isinstance(before, dict):
            return "miss: not seen before"
        before = {str(name): str(digest) for name, digest in before.items()}
        return f"miss: {difference(before, request.ingredients) or 'no longer kept'}"

    def remember(self, who: str, request: Request) -> None:
        """Keep a request's ingredients, by which the next miss is explained."""
        if self._writable:
            try:
                self._store.write("last", _key(who), {"ingredients": request.ingredients})
            except (OSError, HTPUsageError) as error:
                self._writable = False
                self._problem(f"nothing can be kept in it: {getattr(error, 'strerror', None) or error}")

    def _whole(self, described: object) -> bytes:
        return b"".join(self._store.content(described))

    def _clear(self, folder: Path) -> None:
        for path in folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _key(who: str) -> str:
    return hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()
