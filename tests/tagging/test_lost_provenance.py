"""Coverage falls exactly when provenance is lost, and by exactly that much."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import onnx_ir as ir
import pytest

from pytest_htp.capture.marks import ORIGIN_KEY, all_nodes
from pytest_htp.capture.provenance import Provenance
from pytest_htp.capture.scopes import CLASS_HIERARCHY, NAME_SCOPES
from pytest_htp.tagging.tagger import tag_graph
from pytest_htp.vocabulary import ModuleInfo


@pytest.fixture
def stripped(exported: Callable[..., Any]) -> Iterator[Any]:
    """A model whose nodes have lost all metadata, for one test; then it gets it back."""
    result = exported("bert")
    before = {node: dict(node.metadata_props) for node in all_nodes(result.program)}
    for node in before:
        node.metadata_props.clear()
    yield result
    for node, metadata in before.items():
        node.metadata_props.update(metadata)


def test_without_metadata_and_program_coverage_is_zero(stripped: Any) -> None:
    tagging = stripped.retagged(None)
    assert tagging.coverage.coverage == 0
    assert tagging.coverage.none == tagging.coverage.total_nodes > 0
    assert tagging.tags == {}
    assert {detail["evidence"] for detail in tagging.details.values()} == {"none"}


def test_without_metadata_the_program_still_tells(stripped: Any) -> None:
    """By the names of values: what the exporter itself added and renamed is placed by the data flow."""
    tagging = stripped.retagged(stripped.provenance)
    coverage = tagging.coverage
    assert coverage.direct == 0
    assert coverage.inferred + coverage.fused == coverage.total_nodes
    known = {facts.key: facts.path for facts in stripped.tagging.nodes}
    program = [facts for facts in tagging.nodes if facts.rule == "program" and known[facts.key] != "encoder"]
    assert len(program) > coverage.total_nodes / 2
    assert all(facts.path == known[facts.key] for facts in program)


def test_the_record_alone_is_direct_evidence(exported: Callable[..., Any]) -> None:
    tagging = exported("bert").retagged(None)
    assert tagging.coverage.fused == 0
    assert tagging.coverage.direct > 0
    assert {facts.rule for facts in tagging.nodes} <= {"recorded", "neighbours", "order", "between"}


def test_metadata_alone_leads_back_to_the_program(exported: Callable[..., Any]) -> None:
    """Where marks were lost and values renamed, the FX name in the metadata is joined to the program."""
    result = exported("called_twice")
    bare = Provenance(program=result.provenance.program, origins=result.provenance.origins)
    nodes = {node: node.metadata_props.pop(ORIGIN_KEY) for node in all_nodes(result.program)}
    try:
        tagging = result.retagged(bare)
        assert [facts.call for facts in tagging.nodes if facts.path == "mix"] == [0, 1]
    finally:
        for node, mark in nodes.items():
            node.metadata_props[ORIGIN_KEY] = mark


def two_nodes(metadata: dict[str, str]) -> ir.Model:
    """A graph input read by two nodes whose value is the output, both with the same metadata."""
    x = ir.Value(name="x")
    first = ir.Node("", "Relu", [x], metadata_props=copy.copy(metadata))
    second = ir.Node("", "Neg", first.outputs, metadata_props=copy.copy(metadata))
    return ir.Model(ir.Graph([x], second.outputs, nodes=[first, second]), ir_version=10)


@pytest.mark.parametrize(
    "metadata",
    [
        {NAME_SCOPES: "['', 'gone', 'n']", CLASS_HIERARCHY: "['m.Root', 'm.Block', 'aten.relu']"},
        {NAME_SCOPES: "['', 'block', 'n']", CLASS_HIERARCHY: "['m.Root', 'm.Other', 'aten.relu']"},
        {NAME_SCOPES: "['', 'block', 'n']", CLASS_HIERARCHY: "['m.Root', 'aten.relu']"},
        {
            NAME_SCOPES: "['_empty_nn_module_stack_from_metadata_hook', 'n']",
            CLASS_HIERARCHY: "['_empty_nn_module_stack_from_metadata_hook', 'aten.relu']",
        },
        {NAME_SCOPES: "['n']", CLASS_HIERARCHY: "['aten.relu']"},
        {ORIGIN_KEY: "0,1,77"},
    ],
)
def test_a_record_that_does_not_fit_the_model_is_no_evidence(metadata: dict[str, str]) -> None:
    modules = {
        "": ModuleInfo(class_name="Root", tag="/Root"),
        "block": ModuleInfo(path="block", class_name="Block", tag="/Root/Block.block"),
    }
    assert tag_graph(two_nodes(metadata), modules).coverage.none == 2
    assert tag_graph(two_nodes(metadata), modules, Provenance()).coverage.none == 2


def test_nodes_of_model_local_functions_are_counted_and_tagged() -> None:
    metadata = {NAME_SCOPES: "['', 'block', 'n']", CLASS_HIERARCHY: "['m.Root', 'm.Block', 'aten.relu']"}
    x, y = ir.Value(name="x"), ir.Value(name="y")
    inner = ir.Node("", "Relu", [y], metadata_props=metadata)
    lost = ir.Node("", "Neg", inner.outputs)
    function = ir.Function("local", "f", graph=ir.Graph([y], lost.outputs, nodes=[inner, lost]), attributes=[])
    call = ir.Node("local", "f", [x])
    model = ir.Model(ir.Graph([x], call.outputs, nodes=[call]), ir_version=10, functions=[function])
    modules = {
        "": ModuleInfo(class_name="Root", tag="/Root"),
        "block": ModuleInfo(path="block", class_name="Block", tag="/Root/Block.block"),
    }
    tagging = tag_graph(model, modules)
    assert [(facts.graph, facts.path) for facts in tagging.nodes] == [
        ("", None),
        ("local::f", "block"),
        ("local::f", None),
    ]
