"""Shares of nodes by evidence."""

from __future__ import annotations

import onnx_ir as ir
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.tagging.coverage import Coverage, Evidence
from pytest_htp.tagging.tagger import tag_graph
from pytest_htp.vocabulary import ModuleInfo

KEYS = ["total_nodes", "direct", "fused", "inferred", "none", "coverage", "direct_coverage", "root_share"]


def test_an_empty_graph_is_covered() -> None:
    model = ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)
    tagging = tag_graph(model, {"": ModuleInfo(class_name="Root", tag="/Root")})
    assert tagging.coverage == Coverage.of([])
    assert tagging.coverage.to_dict() == dict(zip(KEYS, [0, 0, 0, 0, 0, 100.0, 100.0, 0.0], strict=True))
    assert tagging.tags == tagging.details == {}


def test_shares() -> None:
    coverage = Coverage.of(
        [
            (Evidence.DIRECT, True),
            (Evidence.DIRECT, False),
            (Evidence.FUSED, True),
            (Evidence.INFERRED, False),
        ]
        + [(Evidence.NONE, False)] * 3
    )
    assert list(coverage.to_dict()) == KEYS
    assert list(coverage.to_dict().values()) == [7, 2, 1, 1, 3, 400 / 7, 200 / 7, 200 / 7]


@given(st.lists(st.tuples(st.sampled_from(Evidence), st.booleans())))
def test_coverage_falls_by_exactly_what_is_lost(decisions: list[tuple[Evidence, bool]]) -> None:
    coverage = Coverage.of(decisions)
    assert coverage.total_nodes == coverage.direct + coverage.fused + coverage.inferred + coverage.none
    assert 0 <= coverage.direct_coverage <= coverage.coverage <= 100
    lost = Coverage.of([*decisions, (Evidence.NONE, False)])
    assert lost.coverage <= coverage.coverage
    assert lost.coverage < 100
    assert lost.none == coverage.none + 1


def test_one_lost_node_among_very_many_does_not_round_away() -> None:
    decisions = [(Evidence.DIRECT, False)] * 100_000 + [(Evidence.NONE, False)]
    assert Coverage.of(decisions).coverage == 100 * 100_000 / 100_001
