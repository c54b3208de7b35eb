"""Where a baseline lives and what it is called.

``<test dir>/__htp_baselines__/<test file stem>/<readable slug>-<8 hex>.json``, one file per export. The first
four hex digits identify the test, the last four the export within it: which test a file belongs to can be
known from its name alone, so pruning opens nothing. Parametrized ids with ``/`` or 5,000 characters, and names
that differ only in case or in characters a file system refuses, all get files of their own.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

from pytest_htp.baseline import FOLDER

_SLUG_LENGTH = 80
_NAME = re.compile(r"(?P<slug>.+)-(?P<test>[0-9a-f]{4})[0-9a-f]{4}\.json")


def slugify(text: str, length: int = _SLUG_LENGTH) -> str:
    """Lower-case ASCII letters, digits, ``_`` and ``-``; readable, not unique; never empty, never a path."""
    ascii_text = unicodedata.normalize("NFKD", text[: 4 * length]).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9_]+", "-", ascii_text.lower()).strip("-_")[:length].strip("-_")
    return slug or "export"


def digest(text: str) -> str:
    """Four hex digits that identify a test within its file, given the node id behind the file."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:4]


def baseline_stem(test_id: str, export_name: str) -> str:
    """File name without suffix for an export (``""``: the only one) of a test (``TestClass::test_bert[a/b]``)."""
    return _stem(test_id, test_id, export_name)


def baseline_folder(test_file: Path) -> Path:
    """Where the baselines of a test file lie: ``__htp_baselines__/NAME`` beside it."""
    return test_file.parent / FOLDER / test_file.stem


def baseline_path(test_file: Path, test_id: str, export_name: str, variant: str = "") -> Path:
    """The baseline of one export; with a variant it lies in a sub-folder of that name."""
    folder = baseline_folder(test_file)
    if variant:
        folder = folder / slugify(variant)
    return folder / f"{baseline_stem(test_id, export_name)}.json"


def artifact_stem(nodeid: str, export_name: str) -> str:
    """Folder of an export's files in a report. Tests of all files meet there: the whole id is digested."""
    return _stem(nodeid, nodeid.partition("::")[2] or nodeid, export_name)


def _stem(identity: str, test_id: str, export_name: str) -> str:
    """The readable slug, and digits that tell the test and its export from all others."""
    digits = digest(identity) + digest(f"{identity}\0{export_name}")
    return f"{slug_of_test(test_id + (f'-{export_name}' if export_name else ''))}-{digits}"


def slug_of_test(test_id: str) -> str:
    """What the slugs of all exports of a test begin with."""
    return slugify(test_id.replace("::", "-"))


def slug_of_function(test_id: str) -> str:
    """What the slugs of all exports of a test function begin with, whatever its parameters; not cut."""
    function = test_id.partition("[")[0]
    return slugify(function.replace("::", "-"), max(len(function), 1))


def slug_and_digest(name: str) -> tuple[str, str] | None:
    """The readable part and the test's digest in a baseline's file name, None for a file that isn't named like one."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match["slug"], match["test"])
