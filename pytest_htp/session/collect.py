"""Results from every process to one report.

A worker puts its results as plain JSON on the test's report; the controller (or the only process) collects
them there, writes the files at the end of the session and prints the summary.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.session import CARRIED, artifacts, typed
from pytest_htp.session.commands import as_typed, command_again
from pytest_htp.session.exports import KEY
from pytest_htp.session.incomplete import lost, uncollected
from pytest_htp.session.phases import subtest_failed
from pytest_htp.session.run import HtpRun
from pytest_htp.session.settings import RunSettings
from pytest_htp.text import inert

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter
    from xdist.workermanage import WorkerController

    from pytest_htp.report.result import ExportResult, Incomplete, Report, Shard
    from pytest_htp.session.inventory import Inventory

_PACKAGES = (
    "pytest-htp", "pytest", "torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "syrupy",
)  # fmt: skip
# Options of pytest-split (which counts from 1) and pytest-shard (from 0): number, of how many, what the first one is.
_SHARD_OPTIONS = (("group", "splits", 1), ("shard_id", "num_shards", 0))


def put_on_report(item: pytest.Item, report: pytest.TestReport, *, html: bool) -> None:
    """Attach the test's results to the report of its call (of its setup, if it did not get further)."""
    exports = item.stash.get(KEY, None)
    if exports is None or not exports.results:
        return
    if report.when != "call" and not (report.when == "setup" and report.outcome != "passed"):
        return
    from pytest_htp.report.junit import junit_properties
    from pytest_htp.report.model import finished
    from pytest_htp.session.carried import Carried

    outcome = "failed" if subtest_failed(item) and report.outcome == "passed" else report.outcome
    results = [finished(result, outcome) for result in exports.results]
    run = HtpRun.of(item.config)
    carried = Carried(results=results, notes=run.notes(), unwritten=exports.unwritten, unkept=run.unkept)
    carried.put_on(report, item.config)
    # JUnit files take the properties from the report of the teardown, which copies the item's.
    others = [given for given in item.user_properties if not given[0].startswith("htp.")]
    item.user_properties[:] = [*others, *junit_properties(results)]
    report.user_properties[:] = item.user_properties
    if html:
        from pytest_htp.report.pytest_html import html_extras

        extras = [*getattr(report, "extras", []), *html_extras(results)]
        report.extras = extras  # type: ignore[attr-defined]  # pytest-html's


class Collector:
    """Hooks of the controlling process (not of xdist's workers): results from every process to one report."""

    def __init__(self, config: pytest.Config, settings: RunSettings, inventory: Inventory) -> None:
        self._config = config
        self._settings = settings
        self._inventory = inventory
        self.results: list[ExportResult] = []
        self.notes: list[str] = []
        self.incomplete: list[Incomplete] = []
        self._lost: dict[str, Incomplete] = {}  # node id → the entry of a test that died with its worker
        self._dead: list[str] = []  # workers
        self.stale: list[Path] = []
        self.spared: list[Path] = []
        self._likely: list[Path] = []
        self.not_judged = ""
        self.pruned: list[Path] = []
        self.outlived: list[Path] = []  # deleted: their tests no longer make those exports
        self.problems: list[str] = []  # what was asked for and could not be done
        self._report: Report | None = None
        self._written = False  # the report's files
        self._unwritten: dict[str, list[str]] = {}  # why → baselines that could not be written
        self._unkept = ""  # why files of exports are not among them

    def _is_idle(self) -> bool:
        """Whether this run has no exports, no report to write and no baselines to look at."""
        known = self.results or self.notes or self.incomplete or self._lost or self._dead
        return not known and not self._inventory and self._settings.report_dir is None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, CARRIED):
            self._take(report)
        elif report.when == "teardown":  # perhaps of a test that had died with its worker and was run again
            self._lost.pop(report.nodeid, None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # Such a file may have held exports; a run that has nothing to do with them need not hear of it.
        if report.failed and self._settings.report_dir is not None:
            self.incomplete.append(uncollected(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
        if self._is_idle():
            return
        early = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        self._finish(stopped=early or bool(session.shouldstop or session.shouldfail))
        if self.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if not self._is_idle():
            self._print_summary(terminalreporter)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        artifacts.hand_on(node.config, node.workerinput)
        typed.hand_on(node.config, node.workerinput)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        output = getattr(node, "workeroutput", None)
        if output:
            self._inventory.join(output)
        if error is not None:
            self._dead.append(f"{node.gateway.id} died ({error})")

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._lost[crashitem] = lost(crashitem, "its worker died while it ran")

    def _take(self, report: pytest.TestReport) -> None:
        """Take over what a test's report carries."""
        from pytest_htp.session.carried import Carried

        if report.outcome not in ("passed", "failed", "skipped"):  # it is about to be run again
            return
        carried = Carried.of(report)
        self.results += carried.results
        self.notes += [note for note in carried.notes if note not in self.notes]
        for path, reason in carried.unwritten:
            self._unwritten.setdefault(reason, []).append(path)
        self._unkept = carried.unkept or self._unkept
        if carried.incomplete is not None:
            self.incomplete.append(carried.incomplete)

    def _finish(self, *, stopped: bool) -> None:
        """Look for stale baselines (and prune them where asked), write the report's files.

        ``stopped``: the session ended before all tests had run.
        """
        from pytest_htp.baseline.prune import prune, stale_baselines
        from pytest_htp.report.model import build_report

        self.incomplete += self._lost.values()
        words = "only the test it was running is lost" if self._lost else "its test was run again"
        self.notes += [f"worker {dead}: {words}" for dead in self._dead]
        looking_only = runs_no_tests(self._config)
        found = stale_baselines(self._inventory.collected)
        self.stale = found.certain
        self._likely = found.likely if not self._settings.prune else []  # which lists what it keeps
        if self._settings.prune and not looking_only:
            self.spared, self.not_judged = found.doubtful, self._inventory.not_judged
            self.pruned = prune(self.stale)
            self.stale = [path for path in self.stale if path not in self.pruned]
            self._prune_not_made()
            self.problems += [f"{as_typed(path, self._config)} can't be deleted" for path in self.stale]
        self.problems += [_cannot_write(paths, reason) for reason, paths in self._unwritten.items()]
        wanted = self._settings.report_dir is not None and not looking_only
        if stopped and (self.results or wanted):
            self.incomplete.append(lost("", "stopped early: what had not run is missing"))
        if self.results or self.notes or self.incomplete or wanted:
            self._report = build_report(
                self.results,
                environment(),
                notes=self.notes,
                incomplete=self.incomplete,
                shard=_shard(self._config),
            )
        if wanted:
            self._write_report()

    def _prune_not_made(self) -> None:
        """Delete the baselines of exports that a passed test no longer makes."""
        from pytest_htp.baseline.prune import prune

        root = self._config.rootpath
        gone = [item for item in self.results if _not_made(item) and item.outcome == "passed"]
        self.outlived = prune(root / str(item.baseline) for item in gone)
        self.results = [
            item for item in self.results if not (_not_made(item) and root / str(item.baseline) in self.outlived)
        ]

    def _write_report(self) -> None:
        from pytest_htp.report.write import write_reports

        assert self._report is not None
        assert self._settings.report_dir is not None
        directory = self._settings.report_dir
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with artifacts.one_at_a_time(directory):
                artifacts.put_in_place(self._config, directory)
                write_reports(self._report, directory, step_summary=True)
            self._written = True
            if self._unkept:
                self.problems.append(self._unkept)
        except HTPUsageError as error:
            self.problems.append(str(error))
        except OSError as error:
            self.problems.append(
                f"the report can't be written to {directory}: {error.strerror or error}; "
                "choose a writable directory with --htp-report=DIR"
            )

    def _print_summary(self, terminal: TerminalReporter) -> None:
        """The table, and on GitHub the annotations."""
        self._print_baselines(terminal)
        if self._config.option.verbose > 0:
            for result in self.results:
                if result.cache_note:
                    terminal.write_line(f"htp: cache: {result.name}: {inert(result.cache_note)}")
        for problem in self.problems:
            terminal.write_line(f"htp: {problem}", red=True)
        if self._report is None or not (self.results or self.notes or self.incomplete):
            return
        from pytest_htp.report.github import github_annotations
        from pytest_htp.report.terminal import WIDTH, summary_lines

        directory = self._settings.report_dir
        if (
            (directory is not None and not self.problems)
            or self.notes
            or any(result.outcome == "failed" for result in self.results)
        ):
            html = as_typed(directory / "index.html", self._config) if directory is not None and self._written else None
            terminal.write_sep("=", "onnx exports")
            for line, markup in summary_lines(
                self._report,
                html=html,
                again=lambda option: command_again(self._config, option),
                width=max(get_terminal_size(fallback=(WIDTH, 24)).columns, WIDTH),
            ):
                terminal.write_line(line, **markup)
        for command in github_annotations(self._report, root=self._config.rootpath):
            terminal.write_line(command)

    def _print_baselines(self, terminal: TerminalReporter) -> None:
        statuses = Counter(result.baseline_status.value for result in self.results)
        if statuses["created"] or statuses["updated"]:
            counts = [f"{statuses[word]} {word}" for word in ("created", "updated", "unchanged") if statuses[word]]
            if self.stale:
                counts.append(f"{len(self.stale)} stale")
            terminal.write_line(f"htp: baselines: {', '.join(counts)}")
        for path in self.pruned:
            terminal.write_line(f"htp: deleted {as_typed(path, self._config)}: its test no longer exists")
        for path in self.outlived:
            terminal.write_line(f"htp: deleted {as_typed(path, self._config)}: its test no longer makes that export")
        for result in self.results:
            if _not_made(result) and result.outcome == "passed":
                shown = as_typed(self._config.rootpath / str(result.baseline), self._config)
                terminal.write_line(
                    f"htp: {shown}: its test no longer makes that export; delete it with --htp-prune", yellow=True
                )
        for path in self.spared:
            terminal.write_line(
                f"htp: kept {as_typed(path, self._config)}: not collected now, but its file may still hold its test; "
                "delete it yourself if it is gone",
                yellow=True,
            )
        if self.not_judged:
            judged = "not all baselines were judged" if self.pruned or self.outlived else "nothing pruned"
            terminal.write_line(f"htp: {judged}: {self.not_judged}", yellow=True)
        if self.stale:
            terminal.write_line("")
            self._list_stale(terminal, self.stale, "no such test", "stale baselines")
            terminal.write_line("htp: delete stale baselines with --htp-prune", yellow=True)
        why = "its test is collected with other parameters; delete it if that is gone"
        self._list_stale(terminal, self._likely, why, "with other parameters")

    def _list_stale(self, terminal: TerminalReporter, paths: Sequence[Path], why: str, others: str) -> None:
        for path in paths[:10]:
            terminal.write_line(f"htp: stale baseline {as_typed(path, self._config)}: {why}", yellow=True)
        if len(paths) > 10:
            terminal.write_line(f"htp: and {len(paths) - 10} more {others}", yellow=True)


def runs_no_tests(config: pytest.Config) -> bool:
    """Whether the run only shows something: nothing of it may replace a report or prune."""
    option = config.option
    return (
        any(
            getattr(option, name, False)
            for name in ("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test")
        )
        or getattr(option, "cacheshow", None) is not None
    )


def _shard(config: pytest.Config) -> Shard | None:
    """Which part of the tests the run is of; None for all, and where they were split by means that say nothing."""
    from pytest_htp.report.result import Shard

    for number, count, first in _SHARD_OPTIONS:
        place, total = config.getoption(number, None), config.getoption(count, None)
        if isinstance(place, int) and isinstance(total, int) and total > 1 and 0 <= place - first < total:
            return Shard(number=place - first + 1, of=total)
    return None


def _not_made(result: ExportResult) -> bool:
    return result.baseline_status == "no export"


def _cannot_write(paths: Sequence[str], reason: str) -> str:
    those = f"the baseline {paths[0]}" if len(paths) == 1 else f"{len(paths)} baselines, {paths[0]} first,"
    there = "what was there is" if len(paths) == 1 else "those that were there are"
    return f"{those} can't be written ({reason}); {there} as before. Mend that, then run the same command again"


def environment() -> dict[str, str]:
    """Versions and kind of machine; nothing that names it, its user or its folders."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        **versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
