"""Which part of the tests this run is of, as the plugins that split them say."""

from __future__ import annotations

import pytest

from pytest_htp.report.result import Shard

# Options of pytest-split (which counts from 1) and pytest-shard (from 0): number, of how many, what the first one is.
_OPTIONS = (("group", "splits", 1), ("shard_id", "num_shards", 0))


def shard_of(config: pytest.Config) -> Shard | None:
    """None for a run of all tests, and for one that was split by other means: pytest is not told."""
    for number, count, first in _OPTIONS:
        place, total = config.getoption(number, None), config.getoption(count, None)
        if isinstance(place, int) and isinstance(total, int) and total > 1 and 0 <= place - first < total:
            return Shard(number=place - first + 1, of=total)
    return None
