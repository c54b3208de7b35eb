"""A folder of exports: small JSON entries by key, and their files by content. Nothing in it is ever unpickled.

``DIR/1/entries/ab/<key>.json`` names files of ``DIR/1/files/cd/<sha256>``; each is written under another name and
renamed. So runs may share a folder, and a folder may be carried between machines, cut short or merged with another one:
what does not fit is not there. Least recently used files go first when the folder outgrows its limit, entries and
files alike.

diskcache was weighed: it pickles values unless told otherwise, and keeps its index in one SQLite file, which a CI's
cache can't merge, network file systems can't lock, and which takes all entries along when it is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import AtomicFiles

_EDITION = "1"
_MAX_ENTRY = 256 * 2**20  # bytes; an entry of a thousand-layer model has 20 MB
_MAX_FILES = 100
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)
_CHUNK = 2**20
_GITIGNORE = "# Made by pytest-htp --htp-cache.\n*\n"
_SLACK = 0.9  # an overfull folder is emptied to this share of its limit


FOLDER = "\x00folder\x00"
"""Stands for an export's folder in texts."""
_IN_JSON = json.dumps(FOLDER)[1:-1].encode()


class Broken(Exception):
    """What is in the folder is damaged or somebody else's; the text says how."""


class Store:
    """Entries and files in ``folder``, at most ``limit`` bytes.

    Raises:
        OSError: by the writing methods: the folder can't be written.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._root = folder
        self._folder = folder / _EDITION
        self._limit = limit
        self._size: int | None = None

    def of_another_edition(self) -> bool:
        """Whether only another version of this package has kept something in the folder."""
        others = [path for path in self._root.glob("[0-9]*") if path.name.isdecimal()]
        return bool(others) and self._folder not in others

    def read(self, kind: str, key: str, folder: Path | None = None) -> dict[str, object] | None:
        """The JSON object stored under a key; None where there is none.

        Args:
            kind: what it is stored as.
            key: a SHA-256 in hexadecimal.
            folder: is put where texts have ``FOLDER``.

        Raises:
            Broken: it can't be read as one.
        """
        path = self._entry(kind, key)
        try:
            content = _read_regular(path, _MAX_ENTRY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Broken(f"an entry can't be read ({error.strerror or error})") from error
        if folder is not None:  # in the text: walking through a parsed entry takes longer than parsing it
            content = content.replace(_IN_JSON, json.dumps(str(folder))[1:-1].encode())
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Broken(f"an entry is no JSON ({type(error).__name__})") from error
        if not isinstance(value, dict) or value.get("key") != key:
            raise Broken("an entry is not what its name says")
        _touch(path)
        return value

    def write(self, kind: str, key: str, value: Mapping[str, object], folder: Path | None = None) -> None:
        """Store a JSON object; :meth:`read` puts another folder where its texts have ``folder``."""
        text = json.dumps({**value, "key": key}, separators=(",", ":"), ensure_ascii=False)
        if folder is not None:
            text = text.replace(json.dumps(str(folder), ensure_ascii=False)[1:-1], _IN_JSON.decode())
        content = text.encode("utf-8", "replace")
        if len(content) > _MAX_ENTRY:
            raise HTPUsageError(f"an entry has {len(content)} bytes, more than the cache takes")
        path = self._entry(kind, key)
        with suppress(OSError):
            if _read_regular(path, len(content)) == content:
                return _touch(path)
        return self._put(path, content)

    def add_file(self, content: Path | bytes) -> list[object]:
        """Store a file or what one would contain; returns what :meth:`copy_file` needs: digest and size."""
        if isinstance(content, Path):
            digest, size = _digest(content), content.stat().st_size
        else:
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
        target = self._file(digest)
        if target.is_file() and target.stat().st_size == size:
            _touch(target)
        else:
            self._put(target, content)
        return [digest, size]

    def copy_file(self, described: object, target: Path) -> None:
        """Put a stored file in place, checked while it is copied.

        Raises:
            Broken: it is gone or damaged, or ``described`` is not what :meth:`add_file` gave.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as writing:
            for chunk in self.content(described):
                writing.write(chunk)

    def content(self, described: object) -> Iterator[bytes]:
        """A stored file in pieces; damage shows behind the last one.

        Raises:
            Broken: as :meth:`copy_file`.
        """
        if not (
            isinstance(described, list)
            and len(described) == 2
            and isinstance(described[0], str)
            and _KEY.fullmatch(described[0])
            and isinstance(described[1], int)
        ):
            raise Broken("an entry names no file")
        source = self._file(described[0])
        digest = hashlib.sha256()
        try:
            if not stat.S_ISREG(source.lstat().st_mode):
                raise Broken("a stored file is no regular file")
            for chunk in _chunks(source):
                digest.update(chunk)
                yield chunk
        except OSError as error:
            raise Broken(f"a stored file can't be read ({error.strerror or error})") from error
        if digest.hexdigest() != described[0]:
            with suppress(OSError):
                source.unlink()  # or it would be taken for the file when that is stored again
            raise Broken("a stored file is damaged")
        _touch(source)

    def _entry(self, kind: str, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"no key: {key!r}")
        return self._folder / kind / key[:2] / f"{key}.json"

    def _file(self, digest: str) -> Path:
        return self._folder / "files" / digest[:2] / digest

    def _put(self, path: Path, content: bytes | Path) -> None:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if size > self._limit:
            raise HTPUsageError(f"a file of {size} bytes is larger than the whole cache may be (htp_cache_size)")
        self._make_room(size)
        with AtomicFiles(durable=False) as files:
            ignore = self._root / ".gitignore"
            if not ignore.exists():
                files.stage(ignore, [_GITIGNORE])
            files.stage(path, [content] if isinstance(content, bytes) else _chunks(content))
            files.commit()

    def _make_room(self, size: int) -> None:
        if self._size is None or self._size + size > self._limit:
            files = sorted(_files(self._folder))
            self._size = sum(length for _, length, _ in files)
            for _, length, path in files:
                if self._size + size <= self._limit * _SLACK:
                    break
                if self._size + size > self._limit or self._size > self._limit * _SLACK:
                    with suppress(OSError):
                        path.unlink()
                    self._size -= length
        self._size += size


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Last use, size and path of every file."""
    found = []
    for path in folder.glob("*/*/*"):
        with suppress(OSError):  # another run removed it
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, status.st_size, path))
    return found


def checked_names(files: object) -> dict[str, object]:
    """The files an entry names, by a path inside of the export's folder.

    Raises:
        Broken: a path that leads elsewhere.
    """
    if not isinstance(files, dict) or len(files) > _MAX_FILES:
        raise Broken("an entry names no files")
    for name in files:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name.split("/"):
            raise Broken("an entry names a file outside of its folder")
    return files


def _read_regular(path: Path, limit: int) -> bytes:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(0, "no regular file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(0, "too large")
    return content


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as reading:
        while chunk := reading.read(_CHUNK):
            yield chunk


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _touch(path: Path) -> None:
    """It was used just now."""
    with suppress(OSError):
        os.utime(path)
