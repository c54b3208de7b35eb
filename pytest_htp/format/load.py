"""Reading baseline files, which come from pull requests: data, never trusted and never executed.

Every way a file can be wrong ends in one HTPUsageError that names the file and the remedy.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.fold import unfold_rows
from pytest_htp.format.read import record_of
from pytest_htp.format.record import Record
from pytest_htp.format.serialize import dict_of
from pytest_htp.format.strict_json import strict_loads
from pytest_htp.format.tensors import list_tensors

# A folded 126-layer decoder takes 20 KB; the 33,000-module unfolded worst case some 12 MB.
MAX_BYTES = 32 * 1024 * 1024
# Records nest 5 deep; findings inside reports some more.
MAX_DEPTH = 32

_REASONS = {
    errno.ENOENT: "does not exist: check the path",
    errno.EISDIR: "is a folder: give the path of one file",
    errno.EACCES: "can't be read: check its permissions",
    errno.ELOOP: "is a symbolic link, which is not followed: give the file itself",
}
_RERECORD = "re-record it with pytest --snapshot-update, or restore it from version control"


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The record in a baseline file, in today's edition.

    Raises:
        HTPUsageError: for everything that isn't a readable, valid baseline.
    """
    return dict_of(load_record(path))


def load_record(path: str | os.PathLike[str]) -> Record:
    """:func:`load`, typed."""
    return loads_record(read_regular_file(path), os.fspath(path))


def loads(text: str | bytes, source: str = "baseline") -> dict[str, Any]:
    """The record in the text of a baseline, in today's edition.

    Args:
        text: the file's content; bytes must be UTF-8.
        source: what error messages call it, usually the path.

    Raises:
        HTPUsageError: too large, not UTF-8, not JSON, too deep, NaN, another schema, or wrong types.
    """
    return dict_of(loads_record(text, source))


def loads_record(text: str | bytes, source: str = "baseline") -> Record:
    """:func:`loads`, typed."""
    values = parse_json(text, source)
    try:
        record = record_of(values)
        for graph in (record, *record.stages):  # refuses hostile patterns and modules described twice
            unfold_rows(graph.modules)
            list_tensors(graph.inputs)
            list_tensors(graph.outputs)
    except HTPUsageError as error:
        raise HTPUsageError(f"{_name(source)}: {error}") from None
    return record


def parse_json(text: str | bytes, source: str, limit: int = MAX_BYTES) -> Any:
    """Strict JSON: no NaN, no infinity, no repeated key, bounded size, depth and numbers."""
    if len(text) > limit:
        raise HTPUsageError(f"{_name(source)} is larger than {limit // 2**20} MiB; this is no baseline")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            _refuse(source, f"not UTF-8 (byte {error.start})")
    if not text.strip():
        _refuse(source, "empty")
    if text.startswith(("<<<<<<<", "version https://git-lfs")) or "\n<<<<<<< " in text:
        what = "a Git LFS pointer (run git lfs pull)" if text.startswith("version") else "an unresolved merge"
        _refuse(source, what)
    try:
        value = strict_loads(text)
    except RecursionError:
        _refuse(source, "nested too deeply")
    except json.JSONDecodeError as error:
        _refuse(source, f"not complete JSON: {error.msg} in line {error.lineno}, column {error.colno}")
    except ValueError as error:  # ours below, and integers beyond Python's limit of digits
        _refuse(source, f"not a valid record: {str(error).partition(';')[0]}")
    if _deeper_than(value, MAX_DEPTH):
        _refuse(source, f"nested more than {MAX_DEPTH} deep")
    return value


def read_regular_file(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes; links, folders and devices are refused.

    Raises:
        HTPUsageError: with the reason and the remedy.
    """
    name = _name(os.fspath(path))
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if Path(path).is_symlink():  # for systems without O_NOFOLLOW
            raise OSError(errno.ELOOP, "a symbolic link")
        with os.fdopen(os.open(path, flags), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(limit + 1) if regular else b""
    except (OSError, ValueError) as error:
        raise HTPUsageError(f"{name} {unreadable(error)}") from None
    if not regular:
        raise HTPUsageError(f"{name} is not a file: give the path of one file")
    if len(content) > limit:
        raise HTPUsageError(f"{name} is larger than {limit // 2**20} MiB; this is no baseline")
    return content


def unreadable(error: OSError | ValueError) -> str:
    """Why a file can't be read, and the remedy (ValueError: there is a null character in its path)."""
    known = _REASONS.get(error.errno or 0) if isinstance(error, OSError) else None
    return known or f"can't be read: {getattr(error, 'strerror', None) or error}"


def _refuse(source: str, reason: str) -> NoReturn:
    raise HTPUsageError(f"{_name(source)} can't be used, it is {reason}: {_RERECORD}") from None


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            item
            for container in level
            if isinstance(container, (dict, list))
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _name(source: str) -> str:
    """A path as it may be printed: no control characters, no line breaks."""
    return source if source.isprintable() else repr(source)
