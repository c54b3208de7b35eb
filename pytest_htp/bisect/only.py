"""A pytest plugin for a run of ``htp bisect``: of the tests that the arguments select, only those named in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

VARIABLE = "HTP_BISECT_ONLY"  # path of a JSON list of node ids; inherited by xdist's workers


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests whose ids the named file lists."""
    kept = set(json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]
