"""Files that are either the old or the new one, whole, also after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

TEMPORARY = ".htp-"


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by a file that holds ``text`` (UTF-8, line ends as they are), at once.

    Raises:
        OSError: it can't be written; the old file is untouched and nothing else is left behind.
    """
    with AtomicFiles() as files:
        files.stage(path, [text])
        files.commit()


class AtomicFiles:
    """Stages any number of files and moves all of them into place at the end.

    Used as::

        with AtomicFiles() as files:
            files.stage(path, chunks)
            files.commit()

    What was staged and not committed is removed on leaving. Text is written as UTF-8, line ends as they are.

    Args:
        durable: also after a power cut; False where a file that is damaged counts as absent.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self._staged: dict[Path, Path] = {}
        self._durable = durable

    def stage(self, path: Path, chunks: Iterable[str | bytes]) -> None:
        """Write ``chunks`` beside ``path`` (its folder is made where missing), or nothing."""
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        # A short name of its own: one made from the file's name could exceed the file system's limit.
        temporary = path.with_name(f"{TEMPORARY}{token_hex(4)}")
        try:
            with temporary.open("xb") as stream:
                for chunk in chunks:
                    stream.write(chunk.encode() if isinstance(chunk, str) else chunk)
                if self._durable:
                    stream.flush()
                    os.fsync(stream.fileno())
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._staged[path] = temporary

    def commit(self) -> None:
        """Move every staged file into place."""
        for path in list(self._staged):
            os.replace(self._staged[path], path)  # noqa: PTH105 - fault injection patches os.replace
            del self._staged[path]

    def __enter__(self) -> AtomicFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for temporary in self._staged.values():
            with suppress(OSError):
                temporary.unlink()
        self._staged.clear()
