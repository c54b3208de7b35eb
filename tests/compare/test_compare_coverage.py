"""The ratchet, taken literally: what drops is told, whatever made it drop, and said once."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_htp.compare.engine import compare_exports
from tests.compare._records import Record, add_ops, bert, changed, codes, edited, model_rows, record_of


def percentages(**values: float) -> Record:
    return edited(lambda r: r["coverage"].update(values))


def test_coverage_within_the_tolerance_is_silent_and_below_the_minimum_is_not() -> None:
    after = changed(lambda rows: add_ops(rows["pooler"], {"Tanh": -1}), untagged={"Tanh": 1})
    assert codes(bert(), after) == ["coverage.dropped"]
    assert codes(bert(), after, coverage_tolerance=1.0) == ["record.changed"]
    assert codes(after, after, min_coverage=99.9) == ["coverage.dropped"]
    assert codes(after, after) == []


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "found"),
    [
        (100.0, 99.0, 0, ["coverage.dropped"]),
        (100.0, 99.0, 1, []),
        (100.0, 98.99, 1, ["coverage.dropped"]),
        (100.0, 99.999, 0, ["coverage.dropped"]),
        (99.999, 100.0, 0, ["coverage.improved"]),
        (100.0, 100.0 - 0.9e-6, 0, []),
        (100.0, 100.0 - 1.1e-6, 0, ["coverage.dropped"]),
    ],
)
def test_percentages_alone_are_compared(before: float, after: float, tolerance: float, found: list[str]) -> None:
    pair = percentages(coverage=before), percentages(coverage=after)
    assert codes(*pair, coverage_tolerance=tolerance) == found


def partly_tagged(layers: int) -> Record:
    return record_of(model_rows(layers), untagged={"Shape": 3})


def test_coverage_that_drops_with_a_removed_layer_drops() -> None:
    dropped, removed = compare_exports(partly_tagged(2), partly_tagged(1)).findings
    assert (dropped.code, dropped.module, removed.code) == ("coverage.dropped", None, "module.removed")
    assert (dropped.before, dropped.after) == (95.16, 92.5)
    assert "3 of 62 nodes, now 3 of 40 nodes" in dropped.message
    assert codes(partly_tagged(2), partly_tagged(1), coverage_tolerance=3) == ["module.removed"]


def test_coverage_that_drops_with_a_removed_operator_names_its_module() -> None:
    after = changed(lambda rows: add_ops(rows["pooler"], {"Tanh": -1}), untagged={"Shape": 3})
    dropped, ops = compare_exports(partly_tagged(12), after).findings
    assert (dropped.code, dropped.module) == ("coverage.dropped", "pooler")
    assert (ops.code, ops.module) == ("ops.changed", "pooler")


def test_coverage_that_rises_with_more_nodes_improved() -> None:
    assert codes(partly_tagged(1), partly_tagged(2)) == ["weights.grown", "module.added", "coverage.improved"]


def test_direct_coverage_that_dropped_further_than_coverage_is_told_beside_it() -> None:
    both = percentages(coverage=95.0, direct_coverage=90.0)
    assert codes(bert(), both) == ["coverage.dropped", "direct.dropped"]
    assert codes(bert(), both, coverage_tolerance=5) == ["direct.dropped"]
    assert codes(bert(), both, policy="coverage.dropped:ignore") == ["direct.dropped"]
    assert codes(bert(), percentages(coverage=95.0, direct_coverage=95.0)) == ["coverage.dropped"]


def lost_in_pooler(rows: dict[str, Any]) -> None:
    add_ops(rows["pooler"], {"Tanh": -1})


def test_direct_evidence_lost_elsewhere_is_a_fault_of_its_own() -> None:
    def change(rows: dict[str, Any]) -> None:
        lost_in_pooler(rows)
        rows["encoder.layer.3.act"]["evidence"] = {"inferred": 1}

    found = compare_exports(bert(), changed(change, untagged={"Tanh": 1})).at_or_above("drift")
    assert [(f.code, f.module) for f in found] == [
        ("coverage.dropped", ""),
        ("direct.dropped", "encoder.layer.3.act"),
    ]


@pytest.mark.parametrize(("new", "claimed"), [(4, True), (5, False)])
def test_inference_may_bring_as_many_new_nodes_as_lost_ones(new: int, claimed: bool) -> None:
    before = changed(lambda rows: add_ops(rows["pooler"], {"Mul": 4}))

    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {"Mul": -4})
        add_ops(rows["encoder"], {"Mul": 4, "Sin": new}, evidence="inferred")

    found = codes(before, changed(change, before))
    assert ("ops.exploded" not in found) is claimed
    assert "direct.dropped" in found


def test_direct_evidence_lost_beside_untagged_nodes_is_the_same_fault() -> None:
    def change(rows: dict[str, Any]) -> None:
        lost_in_pooler(rows)
        rows["pooler.dense"]["evidence"] = {"inferred": 2}

    assert codes(bert(), changed(change, untagged={"Tanh": 1})) == ["coverage.dropped"]


def test_shape_code_gone_with_an_axis_fixed_drops_no_coverage() -> None:
    def fixed(record: Record) -> None:
        for tensor in record["inputs"] + record["outputs"]:
            tensor["dims"][0] = 2

    after = changed(lambda rows: add_ops(rows[""], {"Expand": -2}, "BOOL"), untagged={"Shape": 3})
    assert codes(partly_tagged(12), edited(fixed, after)) == ["io.dim_fixed"]


@pytest.mark.parametrize(
    ("gone", "untagged", "dropped"),
    [
        ({"Expand": -2}, {"Shape": 3, "Size": 1}, True),  # fewer nodes, and one more than before without evidence
        ({"Expand": -2, "Gather": 4}, {"Shape": 3, "Size": 1}, False),  # no more than there are new ones
        ({"Expand": -2, "Gather": 1}, {"Shape": 3, "Size": 1}, True),
    ],
)
def test_with_an_axis_fixed_as_many_nodes_may_lack_evidence_as_there_are_new_ones(
    gone: dict[str, int], untagged: dict[str, int], dropped: bool
) -> None:
    def fixed(record: Record) -> None:
        for tensor in record["inputs"] + record["outputs"]:
            tensor["dims"][0] = 2

    after = changed(lambda rows: add_ops(rows[""], gone, "BOOL"), untagged=untagged)
    assert ("coverage.dropped" in codes(partly_tagged(12), edited(fixed, after))) is dropped


def test_a_ratio_that_dropped_excuses_no_contradiction() -> None:
    after = changed(lost_in_pooler, untagged={"Shape": 3})
    after["attestation"]["contradicted"] = ["pooler.dense"]
    found = codes(partly_tagged(12), after)
    assert found == ["coverage.dropped", "attestation.contradicted", "ops.changed"]


@pytest.mark.parametrize(("gained", "claimed"), [(2, True), (3, False)])
def test_a_module_that_inference_gave_nodes_is_claimed_where_half_of_them_were_another_s(
    gained: int, claimed: bool
) -> None:
    """``pooler`` loses one node; ``head`` gains two or three of that operator, by inference."""

    def change(rows: dict[str, Any]) -> None:
        add_ops(rows["pooler"], {"Tanh": -1})
        add_ops(rows["head"], {"Tanh": gained}, evidence="inferred")

    modules = {finding.module for finding in compare_exports(bert(), changed(change)).findings}
    assert ("head" not in modules) is claimed
