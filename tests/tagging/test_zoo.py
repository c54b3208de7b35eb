"""A few of the zoo's architectures, the ones that lose most; the whole zoo is ``benchmarks/zoo.py``."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", ["mixtral", "t5", "resnet", "mamba", "wav2vec2", "clip", "branches"])
def test_honest_tags_on_every_node(name: str, dynamic: bool, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.zoo import measure

    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            row: dict[str, Any] = measure(name, dynamic=dynamic)
    finally:
        logging.disable(logging.NOTSET)
    assert row["none"] <= row["nodes"] * 0.005
    assert row["foreign_tags"] == 0
    assert row["missed_fusions"] == 0
    assert row["unobserved"] == []
    assert row["direct"] + row["fused"] + row["inferred"] + row["none"] == row["nodes"]


def test_the_page_names_every_loss() -> None:
    from benchmarks.zoo_report import render

    row = {
        "name": "a|b", "dynamic": True, "nodes": 4, "direct": 1, "fused": 1, "inferred": 1, "none": 1,
        "at_root": 2, "executed": 3, "tags": 3, "origins": 2, "missed_fusions": 0, "foreign_tags": 0,
        "rules": {"direct recorded": 1}, "causes": {"a cause": 1}, "uneven": ["layer.*"], "unobserved": [],
        "export_seconds": 2.0, "tag_seconds": 0.01,
    }  # fmt: skip
    page = render([row, {"name": "x", "dynamic": False, "error": "Error: `why`"}], {"a|b": "text", "x": "text"})
    assert "none 1 (25.00%)" in page
    assert "- 1 × a cause" in page
    assert "- x: `Error: why`" in page
    assert "Tagging took 0.5%" in page
