"""``PACKAGE==GOOD..BAD``, and the versions between the two that can be had."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from pytest_htp.errors import HTPUsageError

_RANGE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<good>[^.\s][^\s]*?)\.\.(?P<bad>[^.\s]\S*)"
)
_AVAILABLE = re.compile(r"^Available versions: (.+)$", re.MULTILINE)
_NEAR = 6  # how many versions a message lists


@dataclass(frozen=True)
class Range:
    """A package, one version with which all is well, and one with which it isn't (a later one, mostly)."""

    name: str
    good: Version
    bad: Version


@dataclass(frozen=True)
class Row:
    """The versions of a package from the good end to the bad one; two at least."""

    name: str
    versions: tuple[Version, ...]


def parse_range(text: str) -> Range:
    """``torch==2.12.0..2.13.0``.

    Raises:
        HTPUsageError: it is no range, or its ends agree.
    """
    match = _RANGE.fullmatch(text)
    try:
        if match is None:
            raise InvalidVersion(text)
        found = Range(canonicalize_name(match["name"]), Version(match["good"]), Version(match["bad"]))
    except InvalidVersion:
        raise HTPUsageError(f"{text!r} is no range of versions; give it like torch==2.12.0..2.13.0") from None
    if _public(found.good) == _public(found.bad):
        raise HTPUsageError(f"{text}: the ends agree; give a version that is good and another that is bad")
    return found


def installed_version(name: str) -> Version | None:
    """What the running interpreter has of a package, None for nothing."""
    try:
        return Version(version(name))
    except (PackageNotFoundError, InvalidVersion):
        return None


def offered_by_index(name: str) -> list[Version]:
    """The versions that pip finds for this machine, pre-releases included; empty where it finds none.

    Raises:
        HTPUsageError: pip is not installed.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", "--pre", name]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if "No module named pip" in done.stderr:
        raise HTPUsageError(
            f"the versions of {name} are listed by pip, which this environment lacks; install pip, or give a "
            "folder of wheels with --wheels DIR"
        )
    found = _AVAILABLE.search(done.stdout)
    return _versions(found[1].split(",")) if found else []


def offered_by_wheels(name: str, folder: Path) -> list[Version]:
    """The versions of which the folder has a wheel for this machine.

    Raises:
        HTPUsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise HTPUsageError(f"--wheels: {folder} is no folder")
    fitting = frozenset(sys_tags())
    found = []
    for path in folder.glob("*.whl"):
        try:
            project, number, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if project == name and not tags.isdisjoint(fitting):
            found.append(number)
    return found


def row_of(asked: Range, offered: Iterable[Version], installed: Version | None, *, pre: bool = False) -> Row:
    """The versions to search, from the good end to the bad one.

    Of builds of one version (``2.13.0``, ``2.13.0+cpu``) the installed one counts, then one of its kind.

    Args:
        asked: package and both ends.
        offered: all versions that can be installed.
        installed: is there whatever is offered.
        pre: also those between the ends that are pre-releases; an end that is one brings the others along.

    Raises:
        HTPUsageError: an end does not exist; names those near it.
    """
    known: dict[Version, Version] = {}  # without and with the name of its build
    every = [*offered, *([installed] if installed is not None else [])]
    for number in sorted(every, key=lambda number: _preference(number, installed)):
        known[_public(number)] = number
    for end in (asked.good, asked.bad):
        if _public(end) not in known:
            raise HTPUsageError(_no_such(asked.name, end, list(known.values())))
    low, high = sorted((known[_public(asked.good)], known[_public(asked.bad)]))
    pre = pre or low.is_prerelease or high.is_prerelease
    between = [number for number in known.values() if low < number < high and (pre or not number.is_prerelease)]
    versions = (low, *sorted(between), high)
    return Row(asked.name, versions if _public(low) == _public(asked.good) else versions[::-1])


def _public(number: Version) -> Version:
    """Without the name of a build, such as ``+cpu``."""
    return Version(number.public)


def _preference(number: Version, installed: Version | None) -> int:
    if installed is None:
        return -1 if number.local else 0
    return 2 if number == installed else int(number.local == installed.local)


def _no_such(name: str, end: Version, known: Sequence[Version]) -> str:
    if not known:
        return f"no version of {name} can be had here; is the name right, and is its index or --wheels DIR the one?"
    earlier = sorted(number for number in known if number < end)[-_NEAR // 2 :]
    later = sorted(number for number in known if number > end)[: _NEAR // 2]
    near = ", ".join(str(number) for number in (*earlier, *later))
    return f"{name}=={end} can't be had here; near it there are: {near}"


def _versions(texts: Iterable[str]) -> list[Version]:
    found = []
    for text in texts:
        try:
            found.append(Version(text.strip()))
        except InvalidVersion:  # pip skips such releases too
            continue
    return found
