"""Attested, contradicted, unmatched and why, on real exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_prepared import Prepare, facts_at, tagged

from pytest_htp import HTPExporter
from pytest_htp.parity.attestation import attest
from pytest_htp.parity.flow import Placement
from pytest_htp.parity.measure import examine, measure_parity
from pytest_htp.parity.reasons import REASONS
from pytest_htp.parity.result import ParityRequest
from pytest_htp.tagging.facts import NodeFacts


def reasons(request: ParityRequest) -> dict[str, str]:
    return {entry["module"]: entry["reason"] for entry in measure_parity(request).attestation["unmatched"]}


def node(request: ParityRequest, path: str, op_type: str) -> NodeFacts:
    found = [facts for facts in request.tagging.nodes if facts.path == path and facts.node.op_type == op_type]
    assert found, f"no {op_type} in {path}"
    return found[0]


@pytest.mark.parametrize("name", ["bert", "mlp", "convnet", "shared", "called_twice", "nest", "odd_names", "gpt2"])
def test_every_executed_module_has_one_verdict(prepared: Prepare, name: str) -> None:
    request = prepared(name)
    attestation = measure_parity(request).attestation
    unmatched = [entry["module"] for entry in attestation["unmatched"]]
    assert attestation["measured"] is True
    assert attestation["contradicted"] == []
    assert attestation["attested"] + len(unmatched) == len(request.hierarchy.executed)
    assert {entry["reason"] for entry in attestation["unmatched"]} <= set(REASONS)


def test_what_proves_nothing_is_not_attested(prepared: Prepare) -> None:
    found = reasons(prepared("bert"))
    assert found[""] == "the root's own output"
    assert found["encoder.layer.0.output.dropout"] == "pass-through"
    assert found["embeddings.position_embeddings"] == "folded into a constant"
    assert "encoder.layer.0.output.LayerNorm" not in found


def test_a_convolution_folded_with_its_norm_is_no_contradiction(prepared: Prepare) -> None:
    request = prepared("convnet")
    assert reasons(request) == {
        "": "the root's own output",
        "stages.0.0": "folded away by a rewrite, agrees jointly",
        "stages.1.0": "folded away by a rewrite, agrees jointly",
    }


def test_joint_nodes_with_swapped_members_do_not_agree(prepared: Prepare) -> None:
    request = prepared("convnet")
    first, second = node(request, "stages.0.0", "Conv"), node(request, "stages.1.0", "Conv")
    assert set(first.origins) == {"stages.0.0", "stages.0.1"}
    before = first.path, first.origins, second.path, second.origins
    first.path, first.origins = "stages.1.0", ("stages.0.1", "stages.1.0")
    second.path, second.origins = "stages.0.0", ("stages.0.0", "stages.1.1")
    try:
        found = reasons(request)
    finally:
        first.path, first.origins, second.path, second.origins = before
    assert found["stages.0.0"] == found["stages.1.0"] == "folded away by a rewrite"


def test_modules_called_twice_are_one_module(prepared: Prepare) -> None:
    attestation = measure_parity(prepared("called_twice")).attestation
    assert attestation["attested"] == 2


def test_the_cache_a_module_writes_is_no_contradiction(prepared: Prepare) -> None:
    request = prepared("gpt2")
    assert "past_key_values.layers.0.keys" in [value.name for value in request.program.graph.outputs]
    assert measure_parity(request).attestation["contradicted"] == []


WRONG = [
    (
        "encoder.layer.0.attention.self.query",
        "encoder.layer.1.attention.self.query",
    ),  # the same in another layer
    ("encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.key"),  # a sibling
    ("encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self"),  # the parent
    ("encoder.layer.0.attention.self.query", "pooler.dense"),  # anything else
    ("encoder.layer.1.intermediate.dense", "encoder.layer.1.intermediate.intermediate_act_fn"),
]


@pytest.mark.parametrize(("path", "wrong"), WRONG)
@pytest.mark.parametrize("op_type", ["MatMul", "Add"])
def test_a_wrong_tag_is_contradicted(prepared: Prepare, path: str, wrong: str, op_type: str) -> None:
    request = prepared("bert")
    with tagged(node(request, path, op_type), wrong):
        contradicted = measure_parity(request).attestation["contradicted"]
    assert {path, wrong} & set(contradicted)
    assert measure_parity(request).attestation["contradicted"] == []


def test_the_output_check_alone_misses_an_inner_node(prepared: Prepare) -> None:
    """What the boundary check is for: the module's output still leaves its own node."""
    request = prepared("bert")
    examined = examine(request)
    evidences = examined.evidences(request.hierarchy)
    inner = node(request, "encoder.layer.0.attention.self.query", "MatMul")
    with tagged(inner, "encoder.layer.1.attention.self.query"):
        result = attest(evidences, Placement(examined.flow, request.tagging, request.hierarchy))
    assert result.crossings
    evidences.flow.edges = []
    with tagged(inner, "encoder.layer.1.attention.self.query"):
        alone = attest(evidences, Placement(examined.flow, request.tagging, request.hierarchy))
    assert alone.contradicted == []


def test_a_reshape_at_the_border_belongs_to_one_side(prepared: Prepare) -> None:
    """Elements and order are the same on both sides of a Reshape; its shape tells them apart."""
    request = prepared("gpt2")
    last = [f for f in request.tagging.nodes if f.path == "transformer.h.0.mlp.c_fc" and f.node.op_type == "Reshape"]
    with tagged(last[-1], "transformer.h.0.mlp"):
        assert measure_parity(request).attestation["contradicted"] == ["transformer.h.0.mlp.c_fc"]


def test_an_untagged_producer_is_a_reason(prepared: Prepare) -> None:
    request = prepared("mlp")
    facts = facts_at(request, len(request.program.graph) - 1)
    before = facts.path
    facts.path = None
    try:
        assert reasons(request)["down"] == "made by a node without a tag"
    finally:
        facts.path = before


def test_modules_in_a_branch_are_inside_a_body(prepared: Prepare) -> None:
    found = reasons(prepared("branches"))
    assert set(found.values()) == {"the root's own output", "inside a control-flow body"}


@pytest.mark.parametrize("layers", [1, 2])
def test_a_mask_that_only_the_export_passes_on_accuses_nobody(layers: int, tmp_path: Path) -> None:
    """With a mask of ones transformers runs attention without one, and exports it with one."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    config.architectures = ["LlamaModel"]
    attestation = HTPExporter().export(config, None, tmp_path / "m.onnx").attestation
    assert attestation["contradicted"] == []
    assert attestation["attested"] > 10 * layers
