"""Around a test's call: one failure for all findings; baselines are written only when the test has passed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.session.exports import KEY, TestExports

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr, Traceback

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass
class _Call:
    """The call phase of a test. Subtests make reports of their own while it is still running."""

    running: bool = True
    subtest_failed: bool = False


_CALL = pytest.StashKey[_Call]()


def around_call(item: pytest.Item) -> Generator[None, object, object]:
    """Wraps ``pytest_runtest_call``.

    A test that passes by itself fails if any of its exports did, with all messages at once. A test that fails
    by itself keeps its own error and gets ours as a note.
    """
    item.stash[_CALL] = call = _Call()
    try:
        result = yield
    except (Exception, pytest.fail.Exception) as error:
        _add_note(item, error)
        raise
    finally:
        call.running = False
    exports = _exports(item)
    # unittest keeps the errors of a TestCase to itself until pytest makes the report of them.
    errors = getattr(item, "_excinfo", None)
    if exports is not None and not errors and not call.subtest_failed:
        exports.at_end()
    if errors:
        _add_note(item, errors[0].value)
    elif exports is not None and exports.failures:
        # The place is let go of: a frame holds all that its test held, and items live as long as the session.
        place, exports.place = exports.place, None
        raise pytest.fail.Exception(exports.message(), pytrace=False).with_traceback(place)
    return result


def is_running(item: pytest.Item) -> bool:
    """Whether the test's call is still running: a report made now is that of a subtest."""
    return _CALL in item.stash and item.stash[_CALL].running


def subtest_failed(item: pytest.Item) -> bool:
    """Whether the test is not passed, whatever pytest says of it (it lets unittest's pass)."""
    return _CALL in item.stash and item.stash[_CALL].subtest_failed


def settle(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """The outcome is known, also of xfails: write the baselines of a passed test, shorten our own errors."""
    exports = _exports(item)
    if is_running(item):
        item.stash[_CALL].subtest_failed |= report.failed
    elif exports is not None and report.when == "call" and report.passed and not subtest_failed(item):
        problems = exports.accept()
        if problems:
            report.outcome, report.longrepr = "failed", "\n\n".join(problems)
    if report.failed and call.excinfo is not None:
        error = call.excinfo.value
        if isinstance(error, HTPExportError):
            # The message says which step failed and why; behind it are pages of the exporter's frames.
            report.longrepr = call.excinfo.getrepr(style="value", chain=False)
        elif isinstance(error, HTPUsageError):
            report.longrepr = _users_frames(item, call.excinfo)
        found = exports is not None and exports.failures and isinstance(error, pytest.fail.Exception)
        if found or isinstance(error, (HTPExportError, HTPUsageError)):
            _first_line_in_short_summary(report, error)


def _first_line_in_short_summary(report: pytest.TestReport, error: BaseException) -> None:
    """On CI, pytest doesn't cut its summary to the terminal's width: the whole message would be there twice."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = str(error).partition("\n")[0]


def _add_note(item: pytest.Item, error: BaseException) -> None:
    exports = _exports(item)
    if exports is not None and exports.failures:
        error.add_note(f"pytest-htp, besides:\n{exports.message()}")


def end(item: pytest.Item) -> None:
    """The test has ended: from now on its fixtures are torn down, and an export would be nobody's."""
    exports = _exports(item)
    if exports is not None:
        exports.over = True


def close(item: pytest.Item) -> None:
    """After the test and its fixtures: remove what it left on disk, and let go of what its report carries."""
    exports = _exports(item)
    if exports is None:
        return
    exports.let_go()
    if exports.saved:
        from pytest_htp.exporter.graph import remove_model

        for path in exports.saved:
            remove_model(path)


def _exports(item: pytest.Item) -> TestExports | None:
    return item.stash.get(KEY, None)


def _users_frames(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> TerminalRepr:
    """The error with the frames of the user's code only, from the test's file on."""

    def frames(info: pytest.ExceptionInfo[BaseException]) -> Traceback:
        entries = info.traceback.cut(path=item.path)
        theirs = entries.filter(lambda entry: _PACKAGE not in Path(entry.path).parents)
        return theirs if len(theirs) else info.traceback

    style = item.config.getoption("tbstyle", "auto")
    return excinfo.getrepr(style="long" if style == "auto" else style, tbfilter=frames)
