"""What a test's report carries to the process that writes the reports, and what stays with the test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from htp_examples import project

from pytest_htp.report.result import ExportResult
from pytest_htp.session import CARRIED
from pytest_htp.session.carried import Carried

LETS_GO = """
import gc

def pytest_sessionfinish():
    from pytest_htp.session.gate import HtpExportFixture

    gc.collect()
    assert HtpExportFixture not in {type(it) for it in gc.get_objects()}
"""


@pytest.mark.parametrize("worker", [False, True])
def test_workers_send_a_text(worker: bool) -> None:
    config: Any = SimpleNamespace(**({"workerinput": {}} if worker else {}))
    carried = Carried(results=[ExportResult(nodeid="\udc80", name="é", record={"a": [1, None]})], notes=["n"])
    report = SimpleNamespace()
    carried.put_on(report, cast("pytest.Config", config))
    assert isinstance(getattr(report, CARRIED), str) is worker
    assert Carried.of(report) == carried


def test_a_test_that_has_ended_holds_no_fixture(tmp_path: Path) -> None:
    project(tmp_path, conftest=LETS_GO).run_pytest("--snapshot-update", subprocess=True, outcomes={"passed": 1})
