"""pytest plugin that stores the records which the tests of this folder compare, for ``tests/compare`` without torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import Comparison
from tests.compare import _recorded

_PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}


@pytest.fixture(autouse=True)
def _recording(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(before: dict[str, Any], after: dict[str, Any], **options: Any) -> Comparison:
        if not options:
            name = request.node.nodeid.partition("[")[2].removesuffix("]")
            name += f" ({sum(other.startswith(name) for other in _PAIRS) + 1})"
            _PAIRS[name] = copy.deepcopy(before), copy.deepcopy(after)
        return compare_exports(before, after, **options)

    from tests.faults import _catalogue, _meaning

    monkeypatch.setattr(_catalogue, "compare_exports", recorded)
    monkeypatch.setattr(_meaning, "compare_exports", recorded)


def pytest_sessionfinish(exitstatus: int) -> None:
    if exitstatus == 0:
        _recorded.write({**_recorded.read(), **_PAIRS})
