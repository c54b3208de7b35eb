"""Modules of every odd kind keep their own path, class and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_htp.tag import HierarchyTag

Get = Callable[..., Any]
NAMES = ("called_twice", "nest", "odd_names", "tied", "unused", "parametrized", "weight_normed", "shared",
         "shared_slices", "lender", "functions", "compiled", "convnet", "mask_per_layer")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_tag_names_a_module_of_the_model(exported: Get, name: str) -> None:
    result = exported(name)
    assert result.provenance.unobserved == []
    assert result.tagging.coverage.coverage == 100
    by_path = {info.path: info for info in result.hierarchy.modules.values()}
    assert set(by_path) == {path for path, _ in result.model.named_modules(remove_duplicate=False)}
    for text in result.tagging.tags.values():
        tag = HierarchyTag.parse(text)
        assert by_path[tag.module_path].tag == text
        assert by_path[tag.module_path].class_name == tag.classes[-1]
    assert len({info.tag for info in by_path.values()}) == len(by_path)


def test_each_convolution_keeps_both_origins_of_its_fold(exported: Get) -> None:
    result = exported("convnet")
    convolutions = result.of("Conv")
    assert [facts.evidence for facts in convolutions] == ["fused", "fused"]
    assert [facts.path for facts in convolutions] == ["stages.0.0", "stages.1.0"]
    assert [facts.origins for facts in convolutions] == [
        ("stages.0.0", "stages.0.1"),
        ("stages.1.0", "stages.1.1"),
    ]
    assert [facts.rule for facts in convolutions] == ["weights", "weights"]
    assert result.paths("BatchNormalization") == ["first"]
    assert {facts.evidence for facts in result.of("BatchNormalization")} == {"direct"}


def test_a_fold_keeps_the_epsilon_of_its_batch_norm(exported: Get) -> None:
    result = exported("convnet")
    assert [facts.epsilon for facts in result.of("Conv")] == [1e-5, 1e-5]
    assert {facts.epsilon for facts in result.tagging.nodes if facts.node.op_type != "Conv"} == {None}
    graph, unwatched = result.tagging.graph, result.retagged(None).graph
    convolved, normed = (origin for origin, _ in graph.origin_stacks(result.of("Conv")[0]))
    assert (graph.epsilon(convolved), graph.epsilon(normed), unwatched.epsilon(normed)) == (None, 1e-5, None)


def test_a_weight_folded_from_a_parameter_says_how_it_was_computed(exported: Get) -> None:
    result = exported("parametrized")
    (gemm,) = result.of("Gemm")
    _, weight, bias = gemm.node.inputs
    assert weight is not None
    assert bias is not None
    graph, original = result.tagging.graph, "linear.parametrizations.weight.original"
    assert graph.recipe(weight, lambda name: f"<{name}>") == f"mul(2, <{original}>)"
    assert graph.parameter_names(weight) == {original}
    assert graph.recipe(bias, str) == ""
    assert result.retagged(None).graph.recipe(weight, str) == ""


def test_what_every_layer_computes_alike_is_their_parent_s(exported: Get) -> None:
    result = exported("mask_per_layer")
    layers = [f"stack.layers.{index}" for index in range(3)]
    for op_type in ("Greater", "Cast"):
        (facts,) = result.of(op_type)
        assert (facts.evidence, facts.origins) == ("fused", tuple(layers))
        # The container between them has no forward: the innermost module called around all three is the root.
        assert facts.path == ""
    assert result.paths("Mul") == layers


def test_sizes_that_the_tracer_computed_once_are_of_all_their_readers(exported: Get) -> None:
    result = exported("sizes_per_layer", dynamic=True)
    layers = [f"layers.{index}" for index in range(3)]
    (product,) = result.of("Mul")
    assert product.recorded == "layers.0"
    assert (product.evidence, product.path, product.origins) == ("fused", "", tuple(layers))
    assert [path for path in result.paths("Div") if path] == layers


def test_calls_are_counted_and_share_one_tag(exported: Get) -> None:
    result = exported("called_twice")
    assert [(facts.path, facts.call) for facts in result.of("Gemm")] == [("mix", 0), ("mix", 1)]
    assert [(facts.path, facts.call) for facts in result.of("LayerNormalization")] == [
        ("norm", 0),
        ("norm", 1),
    ]
    assert {result.tagging.tags[facts.key] for facts in result.of("Gemm")} == {"/CalledTwice/Linear.mix"}


def test_a_shared_instance_is_known_by_the_path_it_was_reached_by(exported: Get) -> None:
    result = exported("shared")
    assert result.paths("Gemm") == ["encoder", "decoder"]
    assert result.hierarchy.executed == ["", "encoder", "decoder"]
    assert [result.hierarchy.modules[path].calls for path in ("encoder", "decoder")] == [1, 1]


def test_slices_of_lists_beside_a_shared_instance(exported: Get) -> None:
    result = exported("shared_slices")
    assert result.tagging.coverage.direct_coverage == 100
    assert result.paths("Relu") == ["layers.1", "layers.2", "again"]
    assert result.paths("Gemm")[-2:] == ["tail.1", "tail.2"]
    assert result.tagging.tags[result.of("Tanh")[2].key] == "/SharedSlices/Inner.again/Sequential.b/Tanh.1"


def test_lists_and_dicts_stay_in_the_relative_path(exported: Get) -> None:
    tags = set(exported("nest").tagging.tags.values())
    assert {"/Nest/_Block.down.0", "/Nest/_Block.up.0", "/Nest/_Block.heads.b.1"} < tags
    assert "/Nest/Sequential.tail/Sequential.1/_Block.0/Linear.linear" in tags


def test_a_module_that_never_ran_is_listed_without_nodes(exported: Get) -> None:
    result = exported("unused")
    spare = result.hierarchy.modules["spare"]
    assert (spare.calls, spare.execution_order, spare.tag) == (0, None, "/Unused/Linear.spare")
    assert spare.tag not in result.tagging.tags.values()


def test_a_parametrized_module_has_its_author_s_class(exported: Get) -> None:
    result = exported("parametrized")
    assert result.hierarchy.modules["linear"].class_name == "Linear"
    assert result.paths("Gemm") == ["linear"]


def test_weight_norm(exported: Get) -> None:
    result = exported("weight_normed")
    assert result.hierarchy.modules["block.a"].class_name == "Linear"
    assert result.paths("Gemm") == ["block.a", "block.b.0"]


def test_functions_and_unregistered_callables_belong_to_their_caller(exported: Get) -> None:
    result = exported("functions")
    assert result.paths("Sigmoid") == result.paths("Sub") == [""]
    assert {facts.evidence for facts in result.tagging.nodes} == {"direct"}


def test_a_module_passed_to_another_one_keeps_its_own_path(exported: Get) -> None:
    assert exported("lender").paths("Gemm") == ["borrower.own", "lent"]


def test_a_compiled_submodule_s_children_are_found(exported: Get) -> None:
    result = exported("compiled")
    assert result.paths("Gemm") == ["fast._orig_mod.a", "fast._orig_mod.b.0", "out"]
    assert result.paths("Tanh") == ["fast._orig_mod.b.1"]
    assert "fast._orig_mod" in result.hierarchy.executed
    assert result.paths("Relu") == ["fast._orig_mod"]


def test_tied_weights_do_not_move_nodes(exported: Get) -> None:
    result = exported("tied")
    assert result.paths("Gather") == ["embed"]
    assert result.paths("MatMul")[-1] == "head"


def test_names_that_mean_something_elsewhere(exported: Get) -> None:
    result = exported("odd_names")
    keys = list(result.model.parts)
    assert result.paths("Gemm") == [f"parts.{key}" for key in keys]
    assert len(set(result.paths("Gemm"))) == len(keys)
