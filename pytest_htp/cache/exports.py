"""Exports taken from the cache, and put into it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pytest_htp.cache.codec import FOLDER, decode, encode, same
from pytest_htp.cache.lines import anchored, as_of_today
from pytest_htp.cache.request import Request, difference
from pytest_htp.cache.store import Broken, Store, checked_names
from pytest_htp.errors import HTPUsageError

if TYPE_CHECKING:
    from pytest_htp.exporter import HTPExport

_STORY = ("record", "tags", "coverage", "attestation", "sources")  # what reports and findings are made of
_TEXTS = "*_htp_*"  # the monitor's files, which name the folder they lie in


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

    def find(self, request: Request, folder: Path) -> HTPExport | None:
        """The export that a request gave before, with its files put into ``folder``."""
        try:
            entry = self._store.read("entries", request.key)
            if entry is None:
                return None
            for name, described in checked_names(entry.get("files")).items():
                self._store.copy_file(described, folder / name)
            for file in folder.rglob(_TEXTS):
                file.write_text(file.read_text(encoding="utf-8").replace(FOLDER, str(folder)), encoding="utf-8")
            export = decode(entry.get("export"), folder)
        except (Broken, OSError) as error:
            self._clear(folder)
            self._problem(f"{error}; exported instead")
            return None
        return replace(export, sources=as_of_today(export.sources, request.codes, Path.cwd()))

    def add(self, request: Request, export: HTPExport) -> None:
        """Keep an export and its files."""
        failed = export.stage_failure is not None or not all(target.compiled for target in export.targets.values())
        if not self._writable or failed:  # what failed may work the next time
            return
        folder = export.onnx_path.parent
        kept = replace(export, sources=anchored(export.sources, request.codes))
        try:
            value, files = encode(kept, folder), {}
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                text = None
                if file.match(_TEXTS):
                    text = file.read_text(encoding="utf-8").replace(str(folder), FOLDER).encode("utf-8")
                files[file.relative_to(folder).as_posix()] = self._store.add_file(file, text)
            self._store.write("entries", request.key, {"files": files, "export": value})
        except (OSError, HTPUsageError) as error:
            self._writable = not isinstance(error, OSError)
            self._problem(f"nothing can be kept in it: {getattr(error, 'strerror', None) or error}")
        except (ValueError, TypeError, UnicodeError) as error:
            self._problem(f"an export can't be kept: {error}")

    def contradiction(self, request: Request, export: HTPExport) -> str:
        """What a cached export says that today's does not; empty where they agree, or where there is none."""
        with TemporaryDirectory(prefix="htp-") as place:
            cached = self.find(request, Path(place))
        if cached is None:
            return ""
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

    def _clear(self, folder: Path) -> None:
        for path in folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _key(who: str) -> str:
    return hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()
