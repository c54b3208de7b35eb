"""Around a test's call: one failure for all findings; baselines are written only when the test has passed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_htp.errors import HTPExportError
from pytest_htp.session.exports import KEY


def around_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Wraps ``pytest_runtest_call``.

    A test that passes by itself fails if any of its exports did, with all messages at once. A test that fails by itself
    keeps its own error and gets ours as a note. An export error that the test let through is shown as its message, without
    the traceback of our own code.
    """
    try:
        result = yield
    except HTPExportError as error:
        exports = item.stash.get(KEY, None)
        text = exports.message() if exports is not None and exports.failures else str(error)
        pytest.fail(text, pytrace=False)
    except Exception as error:
        exports = item.stash.get(KEY, None)
        if exports is not None and exports.failures:
            error.add_note(f"pytest-htp, besides:\n{exports.message()}")
        raise
    exports = item.stash.get(KEY, None)
    if exports is None:
        return result
    if exports.failures:
        pytest.fail(exports.message(), pytrace=False)
    for write in exports.on_pass:
        write()
    return result


def close(item: pytest.Item) -> None:
    """After the test: remove what it left on disk."""
    exports = item.stash.get(KEY, None)
    if exports is not None:
        for remove in exports.cleanup:
            remove()
