"""Reading what the user named on the command line.

A path that somebody typed is a choice of theirs: links are followed, and a pipe is as good as a file
(``htp compare <(git show HEAD:old.json) new.json``). Its content is trusted no more than any other: never more
than ``limit`` bytes are read. Paths that are found, as in a baseline folder, go through
:func:`pytest_htp.format.load.read_regular_file`, which is stricter.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.load import MAX_BYTES, unreadable

# How every serialized ModelProto begins (field 1, the IR version), and no JSON does: a pipe's name says nothing.
ONNX_START = b"\x08"
# protobuf itself can't hold more: its sizes are C's int.
MAX_ONNX = 2**31 - 1


def read_given(path: str, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file, a pipe or a character device, at most ``limit`` of them.

    Raises:
        HTPUsageError: with the reason and the remedy.
    """
    name = path if path.isprintable() else repr(path)
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            mode = status.st_mode
            readable = stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
            too_large = status.st_size > limit  # a pipe has no size until it is read
            content = file.read(limit + 1) if readable and not too_large else b""
    except (OSError, ValueError) as error:
        circle = isinstance(error, OSError) and error.errno == errno.ELOOP
        reason = "is a symbolic link that leads in a circle: give the file itself" if circle else unreadable(error)
        raise HTPUsageError(f"{name} {reason}") from None
    if not readable:
        raise HTPUsageError(f"{name} is not a file: give the path of one file or pipe")
    if too_large or len(content) > limit:
        raise HTPUsageError(f"{name} is larger than {limit // 2**20} MiB; this is no file of pytest-htp")
    return content
