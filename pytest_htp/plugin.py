"""The pytest plugin: options, and the hooks of every process (those of the controlling one: ``session/collect.py``).

Every pytest run imports it: what is heavy is behind a call.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_htp.session.fixture import htp_export  # noqa: F401 - pytest finds the fixture here
from pytest_htp.session.identity import remember
from pytest_htp.session.inventory import Inventory
from pytest_htp.session.run import HtpRun
from pytest_htp.session.terminal import open_terminal

_INVENTORY = pytest.StashKey[Inventory]()
_REPORT = "--htp-report"
_CACHE = "--htp-cache"

# It stores the baselines, also where plugins are not loaded by themselves (-p htp); -p no:syrupy is heard.
pytest_plugins = ("syrupy",)

MARKER = (
    "htp(min_coverage=None, fail_on=None, quality_tolerance=None, **options): settings for the htp_export calls of "
    "this test; every test that uses the fixture has the marker, so that -m htp selects them"
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_htp import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("htp", "ONNX exports (pytest-htp)")

    report = "print a summary, write index.html, summary.md, report.json into DIR (ini: htp_report_dir)"
    cache = "take exports of which nothing has changed from a cache (ini: htp_cache; default folder: .htp-cache)"
    worst = "the mildest verdict that fails a test: breaking, regression, drift, improvement or info"
    verify = "export all the same, and fail where the cache would have told another story"
    group.addoption(_REPORT, metavar="DIR", nargs="?", const="", help=report)
    group.addoption("--htp-min-coverage", metavar="PCT", help="percent of nodes that must be tagged")
    group.addoption("--htp-fail-on", metavar="VERDICT", help=worst)
    group.addoption("--htp-prune", action="store_true", help="delete the baselines of tests that no longer exist")
    group.addoption("--htp-no-parity", action="store_true", help="don't run the exports in ONNX Runtime")
    group.addoption(_CACHE, metavar="DIR", nargs="?", const="", help=cache)
    group.addoption("--htp-cache-verify", action="store_true", help=verify)
    parser.addini("htp_cache", "folder of the cache of exports, relative to the root; empty: none", default="")
    parser.addini("htp_cache_size", "most that the cache of exports may hold, like 500M or 10G", default="10G")
    parser.addini("htp_report_dir", "default folder of --htp-report", default="htp-report")
    parser.addini("htp_min_coverage", "percent of nodes that must be tagged", default="")
    parser.addini("htp_coverage_tolerance", "percentage points by which coverage may drop", default="0")
    parser.addini("htp_quality_tolerance", "dB by which the SQNR of a stage may move", default="6")
    parser.addini("htp_fail_on", "the mildest verdict that fails a test", default="drift")
    parser.addini("htp_policy", "other verdicts per finding code, like 'ops.changed:ignore'", default="")
    parser.addini("htp_keep_artifacts", "keep the saved models after their tests", type="bool", default=False)
    parser.addini("htp_target_timeout", "seconds that compiling for one target may take, 0 for no limit", default="")
    parser.addini("htp_providers", "ONNX Runtime execution providers for parity", type="args", default=[])
    parser.addini("htp_baseline_variant", "name of the toolchain's own baselines", default="")


def pytest_load_initial_conftests(args: list[str]) -> None:
    # argparse would take the next argument as DIR (`pytest --htp-report tests/`); DIR is only what follows a
    # "=".
    for position, argument in enumerate(args):
        if argument == "--":
            break
        if argument in (_REPORT, _CACHE):
            args[position] = f"{argument}="


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    settings = HtpRun.of(config).settings
    config.stash[_INVENTORY] = inventory = Inventory(config)
    if hasattr(config, "workerinput"):
        return
    open_terminal(config)
    if settings.report_dir is not None:
        from pytest_htp.session.artifacts import sweep

        sweep(settings.report_dir)
    from pytest_htp.session.collect import Collector

    config.pluginmanager.register(Collector(config, settings, inventory), "htp-controller")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    collector.config.stash[_INVENTORY].visit(collector, report)
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not file_path.name.endswith(".htp.toml"):
        return None
    from pytest_htp.manifest.items import ManifestFile

    return ManifestFile.from_parent(parent, path=file_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    remember(item)
    item.config.stash[_INVENTORY].add(item)
    if "htp_export" in getattr(item, "fixturenames", ()) and item.get_closest_marker("htp") is None:
        item.add_marker("htp")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_INVENTORY].complete()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_INVENTORY].finish(session)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    from pytest_htp.session.phases import around_call

    return (yield from around_call(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    from pytest_htp.session.collect import put_on_report
    from pytest_htp.session.incomplete import note_on_report
    from pytest_htp.session.phases import is_running, settle

    settle(item, call, report)
    if not is_running(item):
        put_on_report(item, report, html=_writes_html(item.config))
        note_on_report(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    from pytest_htp.session.phases import close, end

    end(item)
    try:
        return (yield)
    finally:
        close(item)


def _writes_html(config: pytest.Config) -> bool:
    """Whether pytest-html will write a page (xdist's workers know the options of the controller)."""
    return config.pluginmanager.hasplugin("html") and bool(config.getoption("htmlpath", None))


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_INVENTORY].leave_worker()
