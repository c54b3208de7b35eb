"""One round: an environment, pytest in it, its report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from pytest_htp.bisect.environments import CannotInstallError, environment
from pytest_htp.bisect.judge import exports_made
from pytest_htp.bisect.only import VARIABLE
from pytest_htp.bisect.state import Kept, folder_of_round, keep_round, read_round, report_sha256
from pytest_htp.report.merge import read_report
from pytest_htp.report.result import Report
from pytest_htp.text import without_ansi


@dataclass(frozen=True)
class Round:
    """A round and what it left.

    Attributes:
        report: None where there is none; ``kept.trouble`` says why.
        again: it was kept by an earlier run.
    """

    pins: Mapping[str, Version]
    kept: Kept
    report: Report | None
    folder: Path
    again: bool = False


@dataclass
class Rounds:
    """Runs rounds, each once.

    Attributes:
        arguments: pytest's.
        state: folder that rounds are kept in.
        uv: path of uv's program.
        wheels: folder to install from; None: an index.
        done: in the order in which they were asked for.
    """

    arguments: Sequence[str]
    state: Path
    uv: str
    wheels: Path | None
    report_round: Callable[[Round], None]
    done: dict[Path, Round] = field(default_factory=dict)

    def run(self, pins: Mapping[str, Version], only: frozenset[str] | None = None) -> Round:
        """The round with these versions.

        Args:
            pins: package → version.
            only: node ids of the tests to run; None: all that the arguments select.
        """
        folder = folder_of_round(self.state, pins, only)
        if folder not in self.done:
            earlier = read_round(folder)
            made = Round(pins, *earlier, folder, again=True) if earlier is not None else self._run(folder, pins, only)
            self.done[folder] = made
            self.report_round(made)
        return self.done[folder]

    def _run(self, folder: Path, pins: Mapping[str, Version], only: frozenset[str] | None) -> Round:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        notes: tuple[str, ...] = ()
        report, trouble = None, ""
        try:
            with environment(pins, self.uv, self.wheels) as made:
                notes = made.notes
                output = self._pytest(made.python, folder, only)
        except CannotInstallError as error:
            trouble = f"it does not install: {error}"
        else:
            if (folder / "report.json").exists():
                report = read_report(folder)
            else:
                trouble = f"pytest left no report: {_last_line(output)}"
        kept = Kept(
            versions={name: str(number) for name, number in pins.items()},
            report_sha256=report_sha256(folder),
            trouble=trouble,
            notes=list(notes),
            exports=exports_made(report) if report is not None else 0,
            seconds=round(time.monotonic() - start, 1),
        )
        keep_round(folder, kept)
        return Round(pins, kept, report, folder)

    def _pytest(self, python: Path, folder: Path, only: frozenset[str] | None) -> str:
        variables = dict(os.environ)
        command = [str(python), "-m", "pytest", *self.arguments, f"--htp-report={folder.resolve()}"]
        if only is not None:
            tests = (folder / "only.json").resolve()
            tests.write_text(json.dumps(sorted(only)), encoding="utf-8")
            variables[VARIABLE] = str(tests)
            command[3:3] = ["-p", "pytest_htp.bisect.only"]
        log = folder / "pytest.log"
        with log.open("wb") as stream:
            subprocess.run(command, env=variables, stdout=stream, stderr=subprocess.STDOUT, check=False)
        return log.read_text(encoding="utf-8", errors="replace")


def _last_line(output: str) -> str:
    lines = [line.strip() for line in without_ansi(output).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[-1]
