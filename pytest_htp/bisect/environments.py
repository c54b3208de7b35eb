"""Environments that differ from the running one by a few packages: a venv on top of it, made by uv.

Nothing of the running environment is installed again: a ``.pth`` file lends its folders, and what is in the venv's own
folder precedes them.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pytest_htp.bisect.ranges import installed_version
from pytest_htp.errors import HTPUsageError

_LENT = "import site; site.addsitedir({!r})\n"  # a line of a .pth file is run when Python starts
# What makes the exports that are compared: another version of these would be another candidate.
_OF_EXPORTS = frozenset(
    ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy", "pytest-htp")
)
_DEEPEST = 3  # requirements of requirements
_LINES = 3  # of uv's message: what failed, and why
# In the new environment: which version of each package does Python see there?
_SEEN = "import importlib.metadata, sys; print(*(importlib.metadata.version(name) for name in sys.argv[1:]), sep='\\n')"


class CannotInstallError(Exception):
    """uv could not install a package; the message is uv's last lines as one."""


@dataclass(frozen=True)
class Environment:
    """An interpreter with its packages; ``notes`` say what else was installed, and which requirements are not met."""

    python: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Unmet:
    """A requirement that the packages of an environment do not meet.

    Attributes:
        by: the package that has it, with its version.
        found: the version that is there, None for none.
        of_new: it is one of a package that was installed for the round.
    """

    by: str
    requirement: Requirement
    found: str | None
    of_new: bool

    def __str__(self) -> str:
        wanted = self.requirement
        if self.found is None:
            return f"{self.by} requires {wanted.name}, which is not installed"
        return f"{self.by} requires {wanted.name}{wanted.specifier}, and has {self.found}"


def find_uv() -> str:
    """Path of uv's program, that of the extra ``bisect`` or one on the PATH.

    Raises:
        HTPUsageError: there is none.
    """
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise HTPUsageError("environments are made by uv, which is not installed: pip install 'pytest-htp[bisect]'")
    return found


@contextmanager
def environment(pins: Mapping[str, Version], uv: str, wheels: Path | None) -> Iterator[Environment]:
    """The running environment with other versions of some packages; it is deleted afterwards.

    Args:
        pins: package → version. One that is installed already is not installed again.
        uv: path of the program.
        wheels: folder to install from; None: from uv's index.

    Raises:
        CannotInstallError: a version does not install.
        HTPUsageError: something precedes the installed packages, so that they are not the ones that would be tested.
    """
    with TemporaryDirectory(prefix="htp-bisect-") as folder:
        _uv(uv, "venv", "--quiet", "--python", sys.executable, folder)
        python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
        packages = _packages_of(Path(folder))
        lent = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
        (packages / "_htp_bisect.pth").write_text("".join(map(_LENT.format, lent)), encoding="utf-8")
        source = ["--no-index", "--find-links", str(wheels)] if wheels is not None else []

        def install(*wanted: str, prerelease: str = "if-necessary") -> None:
            options = ("--quiet", "--python", str(python), "--no-deps", f"--prerelease={prerelease}")
            _uv(uv, "pip", "install", *options, *source, *wanted)

        new = [f"{name}=={number}" for name, number in pins.items() if number != installed_version(name)]
        if new:
            install(*new, prerelease="allow")
        _check_seen(python, pins)
        notes = _install_requirements(packages, {*map(canonicalize_name, pins), *_OF_EXPORTS}, install)
        yield Environment(python, (*notes, *map(str, unmet(distributions(), distributions(path=[str(packages)])))))


def _install_requirements(packages: Path, kept: set[str], install: Callable[[str], None]) -> list[str]:
    """Install what the new versions require and don't find, but for ``kept`` packages; says what was installed."""
    notes = []
    tried: set[str] = set(kept)
    for _ in range(_DEEPEST):
        missing = {
            canonicalize_name(each.requirement.name): each
            for each in unmet(distributions(), distributions(path=[str(packages)]))
            if each.of_new and canonicalize_name(each.requirement.name) not in tried
        }
        tried |= missing.keys()
        for name, each in missing.items():
            with suppress(CannotInstallError):  # then it is still not met, which a note says
                install(f"{name}{each.requirement.specifier}")
                notes.append(f"{name}{each.requirement.specifier} was installed as well, which {each.by} requires")
    return notes


def unmet(lent: Iterable[Distribution], own: Iterable[Distribution]) -> list[Unmet]:
    """Requirements between the packages of an environment and those it lends that are not met.

    Only those that the new versions ask for or are asked for: what else is wrong was wrong before.
    """
    changed = {canonicalize_name(item.name): item for item in own}
    every = {canonicalize_name(item.name): item for item in [*lent][::-1]} | changed
    extras: dict[str, set[str]] = {}  # package → those that others ask for
    for item in every.values():
        for wanted in _requirements(item, ()):
            extras.setdefault(canonicalize_name(wanted.name), set()).update(wanted.extras)
    found = []
    for name, item in sorted(every.items()):
        for wanted in _requirements(item, extras.get(name, ())):
            needed = canonicalize_name(wanted.name)
            if name not in changed and needed not in changed:
                continue
            there = every[needed].version if needed in every else None
            if there is None or not wanted.specifier.contains(there, prereleases=True):
                found.append(Unmet(f"{item.name} {item.version}", wanted, there, name in changed))
    return found


def _requirements(item: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What a package requires here, with these of its extras."""
    for text in item.requires or ():
        with suppress(InvalidRequirement):
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                yield wanted


def _packages_of(folder: Path) -> Path:
    if os.name == "nt":
        return folder / "Lib" / "site-packages"
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _check_seen(python: Path, pins: Mapping[str, Version]) -> None:
    done = subprocess.run([python, "-c", _SEEN, *pins], capture_output=True, text=True, errors="replace", check=False)
    for (name, number), seen in zip(pins.items(), done.stdout.split(), strict=False):
        if Version(seen) != number:
            raise HTPUsageError(
                f"{name} {number} was installed, but Python finds {seen} first; is another one on PYTHONPATH or in "
                "this folder?"
            )


def _uv(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise CannotInstallError(" ".join(lines[-_LINES:]) or f"uv ended with {done.returncode}")
