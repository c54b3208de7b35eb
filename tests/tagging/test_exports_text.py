"""A transformer, exported in every way that loses provenance somewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pytest_htp.tag import HierarchyTag
from pytest_htp.tagging.tagger import Tagging

WAYS: dict[str, dict[str, Any]] = {
    "static": {},
    "dynamic": {"dynamic": True},
    "opset 17": {"opset_version": 17},
    "not optimized": {"optimize": False},
    "ort fusions": {"ort_fusions": "cpu"},
}


@pytest.fixture(scope="session", params=WAYS)
def bert(request: pytest.FixtureRequest, exported: Callable[..., Any]) -> Any:
    return exported("bert", **WAYS[request.param])


def test_every_node_has_a_tag_of_a_real_module(bert: Any) -> None:
    modules = dict(bert.model.named_modules(remove_duplicate=False))
    assert bert.provenance.unobserved == []
    assert bert.tagging.coverage.none == 0
    for text in bert.tagging.tags.values():
        tag = HierarchyTag.parse(text)
        assert type(modules[tag.module_path]).__name__ == tag.classes[-1]


def test_no_layer_is_favoured(bert: Any) -> None:
    """What all layers share belongs to their parent: both layers have the same operators left."""
    layers: dict[str, dict[str, Counter[str]]] = {"0": {}, "1": {}}
    for facts in bert.tagging.nodes:
        match = re.match(r"encoder\.layer\.(\d)(.*)", facts.path)
        if match:
            layers[match[1]].setdefault(match[2], Counter())[facts.node.op_type] += 1
    assert layers["0"]
    assert layers["0"] == layers["1"]


def test_fused_is_exactly_what_the_optimizer_was_seen_to_join(bert: Any) -> None:
    for facts in bert.tagging.nodes:
        modules = {stack[-1] for _, stack in bert.tagging.graph.origin_stacks(facts)}
        assert (facts.evidence == "fused") == (len(modules) > 1), facts.key
        if facts.evidence == "fused":
            assert set(facts.origins) == modules
            assert facts.path in modules or all(
                not facts.path or module.startswith(f"{facts.path}.") for module in modules
            )


def test_something_is_fused_and_most_is_direct(exported: Callable[..., Any]) -> None:
    coverage = exported("bert").tagging.coverage
    assert coverage.fused > 0
    assert coverage.direct_coverage > 80


def test_the_mask_of_all_layers_is_their_parent_s(exported: Callable[..., Any]) -> None:
    shared = [facts for facts in exported("bert").tagging.nodes if facts.evidence == "fused"]
    assert {facts.path for facts in shared} == {"encoder"}
    both = {"encoder.layer.0.attention.self", "encoder.layer.1.attention.self"}
    assert {frozenset(facts.origins) for facts in shared} == {frozenset(both)}


def test_down_conversion_loses_records_but_no_origin(exported: Callable[..., Any]) -> None:
    lost, kept = exported("bert", opset_version=17), exported("bert")
    assert lost.program.opset_imports[""] == 17
    assert lost.tagging.coverage.direct == 0
    assert lost.tagging.coverage.none == 0
    assert {facts.rule for facts in lost.tagging.nodes} == {"program", "common"}
    assert _by_module(lost.tagging).keys() == _by_module(kept.tagging).keys()


def test_without_optimization_only_the_translator_s_constants_are_shared(
    exported: Callable[..., Any],
) -> None:
    tagging = exported("bert", optimize=False).tagging
    assert {facts.node.op_type for facts in tagging.nodes if facts.evidence == "fused"} == {"Constant"}
    assert {facts.evidence for facts in tagging.nodes if facts.node.op_type != "Constant"} == {"direct"}


def test_sizes_of_dynamic_axes_belong_to_no_inner_module(exported: Callable[..., Any]) -> None:
    """torch inserts them at the inputs under a scope that is no module; they cross the root's call."""
    inferred = [facts for facts in exported("bert", dynamic=True).tagging.nodes if facts.evidence == "inferred"]
    assert inferred
    assert {facts.path for facts in inferred} == {""}


def test_helpers_that_the_exporter_adds_keep_the_origin_of_what_they_replace(
    exported: Callable[..., Any],
) -> None:
    tagging = exported("bert").tagging
    helpers = [facts for facts in tagging.nodes if facts.recorded is None]
    assert helpers
    assert {facts.rule for facts in helpers} == {"program"}


def _by_module(tagging: Tagging) -> Counter[str | None]:
    return Counter(facts.path for facts in tagging.nodes)
