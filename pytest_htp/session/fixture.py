"""The fixture ``htp_export``. Every pytest run imports it; what it gives is imported by the tests that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_htp.session.gate import HtpExportFixture


@pytest.fixture
def htp_export(request: pytest.FixtureRequest) -> HtpExportFixture:
    """Export a model with the eight monitored steps and compare it with its reviewed baseline."""
    from pytest_htp.session.gate import HtpExportFixture
    from pytest_htp.session.run import HtpRun

    return HtpExportFixture(request, HtpRun.of(request.config))
