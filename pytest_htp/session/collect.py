"""Results from every process to one report.

A worker puts its results as plain JSON on the test's report; the controller (or the only process) collects them there,
writes the files at the end of the session and prints the summary.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.session.exports import KEY
from pytest_htp.session.settings import RunSettings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_htp.session.inventory import Inventory

ATTRIBUTE = "htp_results"
_PACKAGES = ("pytest-htp", "pytest", "torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "syrupy")


def put_on_report(item: pytest.Item, report: pytest.TestReport, *, html: bool) -> None:
    """Attach the test's results to the report of its call, where every kind of report finds them."""
    exports = item.stash.get(KEY, None)
    if exports is None or report.when != "call" or not exports.results:
        return
    from pytest_htp.report.junit import junit_properties

    for result in exports.results:
        # A test that fails for another reason has not accepted anything.
        if report.outcome != "passed" and result["outcome"] == "passed":
            result["outcome"] = report.outcome
        elif report.outcome == "passed":
            result["outcome"] = "passed"  # the test expected the failure (pytest.raises)
    setattr(report, ATTRIBUTE, exports.results)
    report.user_properties.extend(junit_properties(exports.results))
    if html:
        from pytest_htp.report.pytest_html import html_extras

        report.extras = [*getattr(report, "extras", []), *html_extras(exports.results)]


class Collector:
    """Lives in the controlling process only."""

    def __init__(self, config: pytest.Config, settings: RunSettings) -> None:
        self._config = config
        self._settings = settings
        self.results: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.stale: list[Path] = []
        self.pruned: list[Path] = []
        self._report: dict[str, Any] | None = None

    def start(self) -> None:
        """Clear what an earlier run left in the report folder, if that folder is a report."""
        directory = self._settings.report_dir
        if directory is not None and (directory / "report.json").is_file():
            rmtree(directory / "exports", ignore_errors=True)

    def take(self, report: pytest.TestReport) -> None:
        self.results.extend(getattr(report, ATTRIBUTE, ()))

    def worker_lost(self, name: str, reason: object) -> None:
        self.notes.append(f"worker {name} died: only the test it was running is lost ({reason})")

    def finish(self, inventory: Inventory) -> None:
        """At the end of the session: look for stale baselines (and prune them where asked), write the report files."""
        from pytest_htp.baseline.prune import prune, stale_baselines
        from pytest_htp.report.model import build_report

        self.stale = stale_baselines(inventory.collected)
        if self._settings.prune:
            self.pruned = prune(self.stale)
            self.stale = []
        if not (self.results or self.notes or self._settings.report_dir is not None):
            return
        self._report = build_report(self.results, environment(), notes=self.notes)
        if self._settings.report_dir is None:
            return
        from pytest_htp.report.write import write_reports

        write_reports(self._report, self._settings.report_dir, step_summary=True)

    def print_summary(self, terminal: TerminalReporter) -> None:
        """The table, and on GitHub the annotations."""
        self._print_baselines(terminal)
        if self._report is None or not (self.results or self.notes):
            return
        from pytest_htp.report.github import github_annotations
        from pytest_htp.report.terminal import summary_lines

        directory = self._settings.report_dir
        if directory is not None or self.notes or any(result["outcome"] == "failed" for result in self.results):
            html = _shown(directory / "index.html", self._config) if directory is not None else None
            terminal.write_sep("=", "onnx exports")
            for line, markup in summary_lines(self._report, html=html):
                terminal.write_line(line, **markup)
        for command in github_annotations(self._report):
            terminal.write_line(command)

    def _print_baselines(self, terminal: TerminalReporter) -> None:
        for path in self.pruned:
            terminal.write_line(f"htp: deleted {_shown(path, self._config)}: its test no longer exists")
        if self.stale:
            terminal.write_line("")
            for path in self.stale[:10]:
                terminal.write_line(f"htp: stale baseline {_shown(path, self._config)}: no such test", yellow=True)
            if len(self.stale) > 10:
                terminal.write_line(f"htp: and {len(self.stale) - 10} more stale baselines", yellow=True)
            terminal.write_line("htp: delete stale baselines with --htp-prune", yellow=True)


def environment() -> dict[str, str]:
    """Versions and kind of machine; nothing that names it, its user or its folders."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**versions, "python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}


def _shown(path: Path, config: pytest.Config) -> str:
    try:
        return Path(os.path.relpath(path, config.invocation_params.dir)).as_posix()
    except ValueError:
        return path.name
