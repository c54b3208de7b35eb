"""A harness for tests of projects that use pytest-htp: plugins, in-house conventions, and this package itself.

An :class:`Example` is a project in a folder. Run pytest in it, then look at outcomes, findings, changed files
and baselines::

    from pytest_htp.testing import Example

    def test_our_plugin_reports_wide_layers():
        example = Example({"test_m.py": MODEL_TEST})
        example.run_pytest("--snapshot-update", outcomes={"passed": 1})
        example.replace("test_m.py", "Linear(4, 4)", "Linear(4, 4).half()")
        run = example.run_pytest(outcomes={"failed": 1})
        assert run.codes == {"weights.dtype", "io.dtype"}
        assert run.changed_files == []

By default pytest runs in this process, so that torch is imported once; ``subprocess=True`` gives it a process
of its own.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import re
import subprocess as processes
import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import pytest

from pytest_htp.baseline import FOLDER
from pytest_htp.cycles import loaded_set_aside
from pytest_htp.format.load import load

__all__ = ["Example", "Run"]

REPORT_DIR = "htp-report"
# A run must not depend on where the harness itself runs.
# The last: pytest has its cache where tox says, and all runs would share it.
_LEFT_OUT_OF_ENVIRONMENT = (
    "CI", "BUILD_NUMBER", "GITHUB_", "PYTEST_", "COLUMNS", "FORCE_COLOR", "PY_COLORS", "TOX_ENV_DIR",
)  # fmt: skip
_INI_FILES = ("pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
_NOT_FILES_OF_THE_PROJECT = (".pytest_cache", "__pycache__", ".hypothesis")
_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one run of pytest left.

    Attributes:
        returncode: pytest's exit code.
        stdout, stderr: as text.
        outcomes: counts by pytest's words: ``{"passed": 1, "failed": 2}``; zero counts are absent.
        report: the content of report.json, None where none was written.
        created_files, changed_files, deleted_files: paths relative to the project, sorted; without caches and the
            report folder. ``changed_files`` holds only files that were there before.
    """

    returncode: int
    stdout: str
    stderr: str
    outcomes: dict[str, int]
    report: dict[str, Any] | None
    created_files: list[str] = field(default_factory=list)
    changed_files: list[str] = field(default_factory=list)
    deleted_files: list[str] = field(default_factory=list)

    @property
    def exports(self) -> list[dict[str, Any]]:
        """The report's exports, by node id and name; empty without a report."""
        return list(self.report["exports"]) if self.report is not None else []

    @property
    def export(self) -> dict[str, Any]:
        """The only export of the run."""
        if len(self.exports) != 1:
            raise AssertionError(f"the run made {len(self.exports)} exports, not one\n{self.stdout}")
        return self.exports[0]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings of all exports."""
        return [finding for export in self.exports for finding in export["findings"]]

    @property
    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding["code"] for finding in self.findings}

    @property
    def touched_files(self) -> list[str]:
        """Everything created, changed or deleted."""
        return sorted([*self.created_files, *self.changed_files, *self.deleted_files])


class Example:
    """A project in a folder of its own.

    Args:
        files: path relative to the project → content. A plain string is the content of ``test_example.py``.
            Without a pytest configuration among them, an empty ``pytest.ini`` is added, so that the project
            is its own root.
        folder: where to put it; by default a temporary folder that lives as long as the example.
    """

    def __init__(self, files: Mapping[str, str | bytes] | str, *, folder: Path | None = None) -> None:
        if folder is None:
            folder = Path(mkdtemp(prefix="htp-example-"))
            weakref.finalize(self, rmtree, folder, ignore_errors=True)
        self.folder = folder.resolve() / "project"
        self.folder.mkdir(parents=True, exist_ok=True)
        given = {"test_example.py": files} if isinstance(files, str) else dict(files)
        if not any(name in given for name in _INI_FILES):
            given["pytest.ini"] = "[pytest]\n"
        self.write(given)

    def write(self, files: Mapping[str, str | bytes]) -> Example:
        """Add or overwrite files; returns the example."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return self

    def replace(self, name: str, old: str, new: str) -> Example:
        """Replace text of a file, which must be in it; returns the example."""
        text = self.read(name)
        if old not in text:
            raise AssertionError(f"{old!r} is not in {name}")
        return self.write({name: text.replace(old, new)})

    def remove(self, name: str) -> Example:
        """Delete a file; returns the example."""
        (self.folder / name).unlink()
        return self

    def read(self, name: str) -> str:
        """A file's text."""
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def files(self) -> dict[str, bytes]:
        """The files as they are now, without caches and reports; another example can be made of them."""
        return {name: (self.folder / name).read_bytes() for name in self._digests()}

    @property
    def baseline_paths(self) -> list[str]:
        """The baseline files, relative to the project, sorted."""
        return [name for name in self._digests() if f"{FOLDER}/" in name and name.endswith(".json")]

    @property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """Path → record of every baseline; each must be valid."""
        return {name: load(self.folder / name) for name in self.baseline_paths}

    @property
    def baseline(self) -> dict[str, Any]:
        """The record of the only baseline."""
        found = self.baselines
        if len(found) != 1:
            raise AssertionError(f"the project has {len(found)} baselines, not one: {', '.join(found)}")
        return next(iter(found.values()))

    def run_pytest(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        subprocess: bool = False,
        report: bool = True,
        outcomes: Mapping[str, int] | None = None,
        cwd: str = ".",
        timeout: float = 300,
    ) -> Run:
        """Run pytest in the project.

        Args:
            args: of pytest, such as ``"--snapshot-update"``.
            env: variables to set; those of CI systems and of a running pytest are not passed on.
            subprocess: use a process of its own.
            report: write a report (``--htp-report``), which findings are read from.
            outcomes: assert that the run ended with exactly these.
            cwd: where to start, relative to the project.
            timeout: seconds; only for a process of its own.

        Raises:
            AssertionError: other outcomes; with the run's output.
        """
        arguments = [*args]
        directory = next((arg.partition("=")[2] for arg in args if arg.startswith("--htp-report=")), REPORT_DIR)
        if report and not any(arg.startswith("--htp-report") for arg in args):
            arguments.insert(0, f"--htp-report={directory}")
        arguments.insert(0, f"--basetemp={self.folder.parent / 'basetemp'}")
        report_file = self.folder / cwd / directory / "report.json"
        earlier = _written(report_file)
        before = self._digests()
        start, variables = self.folder / cwd, _environment(env)
        if subprocess:
            code, stdout, stderr = _in_subprocess(start, arguments, variables, timeout)
        else:
            code, stdout, stderr = _in_process(self.folder, start, arguments, variables)
        after = self._digests()
        found = Run(
            returncode=code,
            stdout=stdout,
            stderr=stderr,
            outcomes=parse_outcomes(stdout),
            report=_read(report_file) if _written(report_file) != earlier else None,
            created_files=sorted(after.keys() - before.keys()),
            changed_files=sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
            deleted_files=sorted(before.keys() - after.keys()),
        )
        if outcomes is not None and found.outcomes != dict(outcomes):
            raise AssertionError(f"expected {dict(outcomes)}, got {found.outcomes}\n{stdout}\n{stderr}")
        return found

    def _digests(self) -> dict[str, str]:
        digests = {}
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            left_out = (*_NOT_FILES_OF_THE_PROJECT, REPORT_DIR)
            if path.is_file() and not any(part in left_out for part in relative.parts):
                digests[relative.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        return digests


def parse_outcomes(stdout: str) -> dict[str, int]:
    """Counts of pytest's last line; ``error`` and ``errors`` are one."""
    found = _SUMMARY.findall(stdout)
    if not found:
        return {}
    counts = (part.split() for part in found[-1].split(", "))
    return {word.replace("errors", "error").replace("warnings", "warning"): int(count) for count, word in counts}


def _written(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT_OF_ENVIRONMENT)}
    return {**kept, "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1", **(added or {})}


def _in_subprocess(cwd: Path, args: list[str], env: dict[str, str], timeout: float) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "pytest", *args]
    done = processes.run(command, cwd=cwd, env=env, capture_output=True, timeout=timeout, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _in_process(project: Path, cwd: Path, args: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, env, clear=True))  # puts all of it back, whatever the run did
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(cwd)
        patch.setattr(sys, "path", sys.path[:])
        patch.setattr(sys, "dont_write_bytecode", True)  # a file edited twice within a second must be read twice
        stack.enter_context(_modules_of(project))
        stack.enter_context(loaded_set_aside())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")  # the outer run's filters are not the project's
        stack.enter_context(redirect_stdout(stdout))
        stack.enter_context(redirect_stderr(stderr))
        # faulthandler is the process's, and the outer run has it.
        code = pytest.main(["-p", "no:faulthandler", *args])
    return int(code), stdout.getvalue(), stderr.getvalue()


@contextmanager
def _modules_of(project: Path) -> Iterator[None]:
    """Let the run import the project's own modules, and forget them; what else it imported (torch) stays."""
    own = {path.stem for path in project.rglob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(f"{project}{os.sep}"):
                del sys.modules[name]
        sys.modules.update(hidden)
