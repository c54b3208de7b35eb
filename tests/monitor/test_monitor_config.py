from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_htp import HTPExportMonitor
from pytest_htp.monitor.config import MonitorConfig

KNOWN = ("max_tree_depth", "max_display_nodes", "style_numbers", "batch_console", "enable_cache")


@pytest.mark.parametrize(
    "config",
    [
        {"max_depth": 3},
        {"max_tree_depth": 0},
        {"max_tree_depth": True},
        {"max_tree_depth": "15"},
        {"max_tree_depth": 2.0},
        {"max_display_nodes": -1},
        {"style_numbers": 1},
        {"batch_console": None},
        {"enable_cache": "yes"},
        {1: 2},
        ["max_tree_depth"],
    ],
)
def test_bad_config_is_a_value_error_that_lists_what_is_known(tmp_path: Path, config: Any) -> None:
    with pytest.raises(ValueError) as caught:
        HTPExportMonitor(tmp_path / "model.onnx", config=config, verbose=False)
    assert all(name in str(caught.value) for name in KNOWN)
    assert "int >= 1" in str(caught.value)
    assert "True or False" in str(caught.value)


def test_good_config_is_taken_and_the_rest_keeps_its_defaults() -> None:
    config = MonitorConfig.parse({"max_tree_depth": 3, "batch_console": True})
    assert config == MonitorConfig(max_tree_depth=3, batch_console=True)
    assert MonitorConfig.parse(None) == MonitorConfig()
    assert MonitorConfig.parse(config) is config


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_output_path_must_name_a_file(path: str) -> None:
    with pytest.raises(ValueError, match="must name a file"):
        HTPExportMonitor(path, verbose=False)


def test_output_path_may_not_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must name a file"):
        HTPExportMonitor(tmp_path, verbose=False)


def test_console_must_be_a_rich_console(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rich\.console\.Console"):
        HTPExportMonitor(tmp_path / "model.onnx", console=object())  # type: ignore[arg-type]
