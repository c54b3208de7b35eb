"""Files that are either the old or the new one, whole, also after a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

TEMPORARY = ".htp-"


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by a file that holds ``text`` (UTF-8, line ends as they are), at once.

    Raises:
        OSError: it can't be written; the old file is untouched and nothing else is left behind.
    """
    # Encoded first: a name that can't be encoded must not cost the old file. The temporary name stays short, since the
    # file's own may already be near the limit of the file system.
    content = text.encode("utf-8")
    temporary = path.with_name(f"{TEMPORARY}{token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - fault injection patches os.replace
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
