"""With this file pytest puts its folder on ``sys.path``: tests of every area can import ``htp_examples``."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import htp_warm
import pytest
from execnet import gateway_io
from hypothesis import HealthCheck, settings

# An export makes objects by the million and little garbage: by default a fifth of its time goes into looking for it.
gc.set_threshold(50_000, 20, 10)
# Tests never time anything: on a busy machine a strategy is slow, and right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _workers_start_warm() -> Iterator[None]:
    """xdist workers of the runs that tests make start with torch loaded; a worker that is given its Python keeps it."""
    original = gateway_io.popen_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            gateway_io,
            "popen_args",
            lambda spec: original(spec) if spec.python else [htp_warm.python(), *original(spec)[1:]],
        )
        yield
