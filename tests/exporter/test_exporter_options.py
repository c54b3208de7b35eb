"""Bad options are refused when the exporter is made, before anything runs."""

from __future__ import annotations

import pytest

from pytest_htp import HTPExporter


@pytest.mark.parametrize("config", [{"max_tree_deth": 3}, {"max_tree_depth": 0}, ["max_tree_depth"]])
def test_a_bad_monitor_config_is_refused_at_once(config: object) -> None:
    with pytest.raises(ValueError, match=r"known: max_tree_depth .*, enable_cache"):
        HTPExporter(config=config)
