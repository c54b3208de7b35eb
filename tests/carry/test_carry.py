"""Each rule of carrying tags on a graph of a few nodes, as optimizers and quantizers write them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from htp_graphs import WEIGHTS, graph, tagged, weight
from onnx import helper, numpy_helper

from pytest_htp.carry import carry
from pytest_htp.carry.equal_weights import WeightIndex, elements, equal_weights
from pytest_htp.carry.values import Samples, equal_values
from pytest_htp.errors import HTPUsageError
from pytest_htp.tagging.facts import NodeFacts
from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.tagger import Tagging

node = helper.make_node


def carried(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto] = WEIGHTS, **more: dict[str, str]
) -> dict[str, NodeFacts]:
    return {facts.key: facts for facts in carry(tagged(), graph(nodes, weights), **more).nodes}


def is_(facts: NodeFacts, evidence: str, path: str | None) -> bool:
    return (facts.evidence.value, facts.path) == (evidence, path)


def test_the_same_graph_keeps_every_tag() -> None:
    before = tagged()
    after = carry(before, before.graph.model)
    assert after.tags == before.tags
    assert after.coverage == before.coverage


def test_a_fused_operator_stands_for_the_nodes_between_known_tensors() -> None:
    found = carried(
        [
            node("Gemm", ["x", "first.weight", "first.bias"], ["sum"], "g"),
            node("Relu", ["sum"], ["active"], "node_Relu_3"),
            node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4"),
        ]
    )
    assert is_(found["g"], "fused", "first")
    assert found["g"].stands_for == ("node_MatMul_1", "node_Add_2")
    assert is_(found["node_Relu_3"], "direct", "act")


def test_of_several_modules_the_owner_of_the_weights_has_the_node_and_the_others_are_origins() -> None:
    found = carried(
        [
            node("FusedGemm", ["x", "first.weight", "first.bias"], ["active"], "f", domain="com.microsoft"),
            node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4"),
        ]
    )
    assert is_(found["f"], "fused", "first")
    assert found["f"].origins == ("act", "first")


def test_helpers_around_an_operator_of_another_rank_are_inferred() -> None:
    shape = numpy_helper.from_array(np.array([2, 4]), "shape")
    found = carried(
        [
            node("Reshape", ["x", "shape"], ["flat"], "before"),
            node("Gemm", ["flat", "first.weight", "first.bias"], ["out"], "g"),
            node("Reshape", ["out", "shape"], ["sum"], "behind"),
            node("Relu", ["sum"], ["active"], "node_Relu_3"),
            node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4"),
        ],
        [*WEIGHTS, shape],
    )
    assert is_(found["g"], "fused", "first")
    assert is_(found["before"], "inferred", "first")
    assert is_(found["behind"], "inferred", "first")


def quantized(name: str, seed: int) -> onnx.TensorProto:
    values = numpy_helper.to_array(weight("w", seed))
    return numpy_helper.from_array(np.clip(np.round(values * 40), -127, 127).astype(np.int8), name)


def test_what_quantizes_belongs_to_the_value_or_weight_it_converts() -> None:
    scales = [numpy_helper.from_array(np.float32(1 / 40), f"{name}_scale") for name in ("active", "last.weight")]
    found = carried(
        [
            node("MatMul", ["x", "first.weight"], ["product"], "node_MatMul_1"),
            node("Add", ["product", "first.bias"], ["sum"], "node_Add_2"),
            node("Relu", ["sum"], ["active"], "node_Relu_3"),
            node("QuantizeLinear", ["active", "active_scale"], ["q"], "q"),
            node("DequantizeLinear", ["q", "active_scale"], ["dq"], "dq"),
            node("DequantizeLinear", ["last.weight_quantized", "last.weight_scale"], ["w"], "w"),
            node("MatMul", ["dq", "w"], ["y"], "node_MatMul_4"),
        ],
        [*WEIGHTS[:2], quantized("last.weight_quantized", 3), *scales],
    )
    assert is_(found["q"], "inferred", "act")
    assert is_(found["dq"], "inferred", "act")
    assert is_(found["w"], "inferred", "last")
    assert is_(found["node_MatMul_4"], "direct", "last")
    assert found["node_MatMul_4"].rule == "same node"  # reading its own weight, it is on no side of it


@pytest.mark.parametrize("name", ["last.weight_t", "any"])
def test_a_node_with_other_names_is_found_by_its_transposed_weight(name: str) -> None:
    turned = numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(WEIGHTS[2]).T), name)
    found = carried(
        [
            node("Gemm", ["x", "first.weight", "first.bias"], ["a"], "n0"),
            node("Relu", ["a"], ["b"], "n1"),
            node("Gemm", ["b", name], ["c"], "n2", transB=1),
            node("Identity", ["c"], ["y"], "n3"),
        ],
        [*WEIGHTS[:2], turned],
    )
    assert found["n2"].path == "last"


def test_a_weight_that_the_file_has_no_data_for_is_not_made_up() -> None:
    """As zeros of its full size, which take a terabyte here, and differ from every weight."""
    nodes = [node("MatMul", ["x", "huge"], ["wide"], "n0"), node("MatMul", ["wide", "narrow"], ["y"], "n1")]
    nameless = [node("MatMul", ["x", "huge"], ["a"], "m0"), node("MatMul", ["a", "other"], ["y"], "m1")]

    def huge(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)

    before = read_tagging(
        graph(nodes, [huge("huge", 4, 2**36), huge("narrow", 2**36, 4)], {"n0": "first", "n1": "last"})
    )
    after = carry(before, graph(nameless, [huge("huge", 4, 2**36), huge("other", 2**36, 4)]))
    assert [facts.path for facts in after.nodes] == ["first", "last"]


def index(*arrays: np.ndarray) -> WeightIndex:
    return WeightIndex(
        ir.Value(name=f"w{place}", const_value=ir.tensor(each.astype(np.float32))) for place, each in enumerate(arrays)
    )


def test_a_weight_is_found_among_many_of_its_size_whatever_was_done_to_it() -> None:
    weights = [np.random.default_rng(seed).standard_normal((12, 8)).astype(np.float32) for seed in range(40)]
    known = index(*weights)

    def found(array: np.ndarray) -> list[str | None]:
        return [value.name for value in known.find(array)]

    assert found(weights[7]) == ["w7"]
    assert found(np.ascontiguousarray(weights[7].T)) == ["w7"]
    assert found(np.round(weights[7] * 30).astype(np.int8)) == ["w7"]
    assert found(weights[7] * np.linspace(0.01, 50, 8, dtype=np.float32)) == ["w7"]
    assert found(np.concatenate(weights[3:6], axis=1)) == ["w3", "w4", "w5"]
    assert found(-np.sort(weights[7])) == []


def test_a_copy_is_nearer_than_one_whose_channels_were_scaled() -> None:
    weight = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
    scaled = weight * np.array([1, -20, 300, 4, -0.01, 60, 7, 0.1], np.float32)
    assert [value.name for value in index(scaled, weight).find(weight)] == ["w1"]
    assert index(weight, weight.copy()).find(weight) == ()


SHAPE = numpy_helper.from_array(np.array([2, 4]), "s2")


def written_by_onnxslim() -> tuple[Tagging, ir.Model]:
    """Two linear layers in a row, then a reshape of ``act``'s: each MatMul and Add is a Gemm between reshapes, called
    after the product, and so is its weight; the reshape between both layers is gone.
    """
    linear = [
        node("MatMul", ["x", "w1"], ["val_3"], "node_MatMul_1"),
        node("Add", ["val_3", "first.bias"], ["linear"], "node_linear"),
        node("MatMul", ["linear", "w2"], ["val_5"], "node_MatMul_3"),
        node("Add", ["val_5", "last.bias"], ["linear_1"], "node_linear_1"),
        node("Reshape", ["linear_1", "s2"], ["view"], "node_view", allowzero=1),
        node("Neg", ["view"], ["y"], "node_neg"),
    ]
    paths = dict(zip((each.name for each in linear), ("first", "first", "last", "last", "act", "act"), strict=True))
    biases = [weight("first.bias", 5, (4,)), weight("last.bias", 6, (4,))]
    before = read_tagging(graph(linear, [weight("w1", 1), weight("w2", 3), *biases, SHAPE], paths))
    slim = [
        node("Reshape", ["x", "s2"], ["val_3_pre_reshape_out"], "val_3_pre_reshape"),
        node("Gemm", ["val_3_pre_reshape_out", "val_3_weight", "first.bias"], ["val_5_pre_reshape_out"], "val_3"),
        node("Gemm", ["val_5_pre_reshape_out", "val_5_weight", "last.bias"], ["val_5_gemm_out"], "val_5"),
        node("Reshape", ["val_5_gemm_out", "s2"], ["view"], "linear_1"),
        node("Neg", ["view"], ["y"], "node_neg"),
    ]
    return before, graph(slim, [weight("val_3_weight", 1), weight("val_5_weight", 3), *biases, SHAPE])


def test_a_weight_called_after_the_product_made_with_it_is_not_that_product() -> None:
    """onnxslim's names: the Gemm between two of them was given to the second layer."""
    before, slim = written_by_onnxslim()
    found = {facts.key: facts for facts in carry(before, slim).nodes}
    assert is_(found["val_3"], "fused", "first")
    assert found["val_3"].stands_for == ("node_MatMul_1", "node_linear")
    assert is_(found["val_5"], "fused", "last")
    assert found["val_5"].stands_for == ("node_MatMul_3", "node_linear_1")


def test_what_makes_a_known_value_with_the_operator_of_before_is_the_node_that_made_it() -> None:
    before, slim = written_by_onnxslim()
    found = {facts.key: facts for facts in carry(before, slim).nodes}
    assert is_(found["linear_1"], "direct", "act")
    assert found["linear_1"].stands_for == ("node_view",)
    assert is_(found["val_3_pre_reshape"], "inferred", "first")


def test_of_as_many_nodes_of_an_operator_as_before_each_is_the_one_that_read_its_weight() -> None:
    def branches(first: str, second: str) -> list[onnx.NodeProto]:
        return [
            node("MatMul", ["x", first], ["a"], "one"),
            node("MatMul", ["x", second], ["b"], "two"),
            node("Add", ["a", "b"], ["y"], "sum"),
        ]

    weights = [weight("w1", 1), weight("w2", 3)]
    before = read_tagging(graph(branches("w1", "w2"), weights, {"one": "first", "two": "last", "sum": "act"}))
    other = branches("n1", "n2")
    for each, name in zip(other, "uvw", strict=True):
        each.name = name
        each.output[0] = {"a": "c", "b": "d", "y": "y"}[each.output[0]]
        each.input[:] = [{"a": "c", "b": "d"}.get(value, value) for value in each.input]
    after = carry(before, graph(other, [weight("n1", 3), weight("n2", 1)]))
    assert {facts.key: facts.path for facts in after.nodes} == {"u": "last", "v": "first", "w": "act"}


def unnamed(*operators: tuple[str, dict[str, int]]) -> dict[str, NodeFacts]:
    """Each operator reads a value that keeps its name; the operators have others than before, where ``act`` was a
    Softmax along the last axis and ``last`` an Abs.
    """
    nodes = [
        node("Neg", ["x"], ["p"], "neg"),
        node("Exp", ["p"], ["n"], "exp"),
        node("Softmax", ["n"], ["s"], "softmax", axis=1),
        node("Abs", ["n"], ["a"], "abs"),
        node("Sum", ["s", "a"], ["y"], "sum"),
    ]
    before = read_tagging(graph(nodes, [], {"neg": "first", "exp": "first", "softmax": "act", "abs": "last"}))
    after = [node("Neg", ["x"], ["q"], "neg"), node("Exp", ["q"], ["m"], "exp")]
    after += [node(kind, ["m"], [f"o{k}"], f"k{k}", **more) for k, (kind, more) in enumerate(operators)]
    after.append(node("Max", [f"o{k}" for k in range(len(operators))], ["z"], "max"))
    after.append(node("Elu", ["z"], ["y"], "elu"))
    return {facts.key: facts for facts in carry(before, graph(after, [])).nodes}


def test_a_node_without_its_name_that_does_the_same_with_the_same_value_is_that_node() -> None:
    found = unnamed(("Abs", {}), ("Softmax", {"axis": 1}))
    assert is_(found["k0"], "direct", "last")
    assert is_(found["k1"], "direct", "act")
    assert {found["k0"].rule, found["k1"].rule} == {"same operation"}


def test_one_that_does_another_thing_with_it_or_has_a_rival_is_not() -> None:
    assert "same operation" not in {facts.rule for facts in unnamed(("Softmax", {"axis": 0})).values()}
    assert "same operation" not in {facts.rule for facts in unnamed(("Abs", {}), ("Abs", {})).values()}
    assert "same operation" in {facts.rule for facts in unnamed(("Abs", {})).values()}


def test_values_equal_in_a_run_lead_on_where_names_do_not() -> None:
    nodes = [
        node("Gemm", ["x", "first.weight", "first.bias"], ["a"], "n0"),
        node("Max", ["a", "zero"], ["b"], "n1"),
        node("MatMul", ["b", "last.weight"], ["y"], "n2"),
    ]
    weights = [*WEIGHTS, numpy_helper.from_array(np.zeros(4, np.float32), "zero")]
    found = carried(nodes, weights, values={"a": "sum", "b": "active"})
    assert is_(found["n0"], "fused", "first")
    assert is_(found["n1"], "direct", "act")
    assert is_(found["n2"], "direct", "last")


def test_a_name_behind_a_word_of_the_tool_is_the_same_value_in_another_precision() -> None:
    found = carried(
        [
            node("Gemm", ["x", "first.weight", "first.bias"], ["InsertedCast_sum"], "g"),
            node("Elu", ["InsertedCast_sum"], ["InsertedCast_active"], "e"),
            node("MatMul", ["InsertedCast_active", "last.weight"], ["y"], "m"),
        ]
    )
    assert is_(found["g"], "fused", "first")
    assert is_(found["e"], "direct", "act")
    assert is_(found["m"], "direct", "last")


def test_equal_values_need_one_clearly_nearest_candidate() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 8, 16))
    before = Samples([("a", a), ("b", b), ("twin", b.reshape(16, 8)), ("one", np.ones((8, 16)))])
    after = Samples([("n", a * (1 + 1e-5)), ("m", b), ("k", np.ones((8, 16)))])
    assert equal_values(before, after) == {"n": "a"}


def test_an_unrelated_model_gets_nothing_and_says_so() -> None:
    other = [weight("first.weight", 11), weight("first.bias", 12, (4,)), weight("last.weight", 13)]
    nodes = [ir.serde.serialize_node(facts.node) for facts in tagged().nodes]
    after = carry(tagged(), graph(nodes, other))
    assert after.tags == {}
    assert {facts.cause for facts in after.nodes} == {"unrelated: it has other weights than the tagged graph"}


def test_a_node_that_nothing_leads_to_is_none_with_its_cause() -> None:
    found = carried(
        [
            node("MatMul", ["x", "first.weight"], ["product"], "node_MatMul_1"),
            node("Add", ["product", "first.bias"], ["sum"], "node_Add_2"),
            node("Relu", ["sum"], ["active"], "node_Relu_3"),
            node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4"),
            node("RandomNormal", [], ["noise"], "new", shape=[2]),
        ]
    )
    assert is_(found["new"], "none", None)
    assert found["new"].cause


def test_a_tag_that_is_none_names_the_node() -> None:
    model = tagged().graph.model
    next(iter(model.graph)).metadata_props["htp.hierarchy.tag"] = "nonsense"
    with pytest.raises(HTPUsageError, match=r"'node_MatMul_1'.*must start with '/'"):
        read_tagging(model)


def test_weights_quantized_per_channel_are_known_whatever_the_channels_scales_are() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(16, 8)) * np.array([[1.0], [30.0]] * 8)
    codes = np.round(weight / np.abs(weight).max(1, keepdims=True) * 127).astype(np.int8)
    assert equal_weights(codes, weight.astype(np.float32)) is True
    assert equal_weights(codes.T.copy(), weight.astype(np.float32)) is True
    other = random.normal(size=(16, 8)) * np.array([[1.0], [30.0]] * 8)
    assert equal_weights(codes, other.astype(np.float32)) is False


LAST = node("MatMul", ["active", "last.weight"], ["y"], "node_MatMul_4")


def test_an_activation_that_is_nowhere_was_fused_with_what_it_alone_read() -> None:
    """As in blocked layouts, where no value between two convolutions has a name or elements of before."""
    found = carried(
        [
            node("FusedGemm", ["x", "first.weight", "first.bias"], ["blocked"], "f", domain="com.microsoft"),
            node("MatMul", ["blocked", "last.weight"], ["y"], "node_MatMul_4"),
        ]
    )
    assert found["f"].stands_for == ("node_MatMul_1", "node_Add_2", "node_Relu_3")
    assert found["f"].origins == ("act", "first")


def test_a_node_that_computes_and_is_named_after_one_before_is_no_helper() -> None:
    found = carried(
        [
            node("FusedMatMul", ["x", "first.weight", "first.bias"], ["t"], "f", domain="com.microsoft"),
            node("Elu", ["t"], ["active"], "node_Relu_3/EluFusion/"),
            LAST,
        ]
    )
    made = found["node_Relu_3/EluFusion/"]
    assert is_(made, "direct", "act")
    assert made.rule == "made name"


def test_a_conversion_of_what_several_modules_made_may_be_any_of_them() -> None:
    def fused(*then: onnx.NodeProto, gives: str) -> ir.Model:
        first = node("FusedGemm", ["x", "first.weight", "first.bias"], [gives], "f", domain="com.microsoft")
        return graph([first, *then, LAST], WEIGHTS)

    before = carry(tagged(), fused(gives="active"))
    back = node("ReorderOutput", ["blocked"], ["active"], "back", domain="com.microsoft.nchwc")
    found = {facts.key: facts for facts in carry(before, fused(back, gives="blocked")).nodes}
    assert is_(found["back"], "inferred", "first")
    assert found["back"].origins == ("act", "first")


@pytest.mark.parametrize(("seen", "rewired"), [({}, {"active"}), ({"active": "active"}, set())])
def test_what_is_made_of_values_in_another_layout_is_in_another_layout_unless_seen_to_be_equal(
    seen: dict[str, str], rewired: set[str]
) -> None:
    nodes = [
        node("Gemm", ["x", "first.weight", "first.bias"], ["blocked"], "g", domain="com.microsoft.nchwc"),
        node("Relu", ["blocked"], ["active"], "node_Relu_3"),
        LAST,
    ]
    found = carried(nodes, values=seen)
    assert {value.name for value in found["node_MatMul_4"].rewired} == rewired


def test_each_value_of_a_fused_node_is_where_the_node_before_was_that_read_or_made_it() -> None:
    f = node("FusedGemm", ["x", "first.weight", "first.bias"], ["active"], "f", domain="com.microsoft")
    found = carried([f, LAST])["f"]
    ends = {value.name: [end.key for end in found.ends[value]] for value in found.ends}
    assert ends == {
        "x": ["node_MatMul_1"],
        "first.weight": ["node_MatMul_1"],
        "first.bias": ["node_Add_2"],
        "active": ["node_Relu_3"],
    }


def test_an_activation_whose_value_a_conversion_makes_of_the_fused_nodes_is_in_that_node() -> None:
    """Two products in one region, the second with an activation: the region gives each its own product."""
    before = [
        node("MatMul", ["x", "first.weight"], ["product"], "node_MatMul_1"),
        node("MatMul", ["product", "last.weight"], ["sum"], "node_MatMul_2"),
        node("Relu", ["sum"], ["active"], "node_Relu_3"),
        LAST,
    ]
    after = [
        node("FusedMatMul", ["x", "first.weight"], ["inner"], "f", domain="com.microsoft"),
        node("FusedMatMul", ["inner", "last.weight"], ["blocked"], "g", domain="com.microsoft"),
        node("ReorderOutput", ["blocked"], ["active"], "back", domain="com.microsoft.nchwc"),
        LAST,
    ]
    paths = {"node_MatMul_1": "first", "node_MatMul_2": "last", "node_Relu_3": "act", "node_MatMul_4": "last"}
    tagging = carry(read_tagging(graph(before, WEIGHTS, paths)), graph(after, WEIGHTS))
    found = {facts.key: facts.stands_for for facts in tagging.nodes}
    assert found["f"] == ("node_MatMul_1",)
    assert found["g"] == ("node_MatMul_2", "node_Relu_3")


def test_a_helper_at_the_end_of_a_region_belongs_to_the_node_that_read_or_made_its_value() -> None:
    found = carried(
        [
            node("Flatten", ["x"], ["flat"], "before"),
            node("FusedGemm", ["flat", "first.weight", "first.bias"], ["made"], "f", domain="com.microsoft"),
            node("Flatten", ["made"], ["active"], "after"),
            LAST,
        ]
    )
    assert is_(found["before"], "inferred", "first")
    assert is_(found["after"], "inferred", "act")


def test_a_name_that_went_to_another_node_does_not_lead_to_it() -> None:
    """An activation less, and all after it are numbered anew, as torch numbers its values."""

    def written(*activations: str) -> list[onnx.NodeProto]:
        nodes, last = [], "x"
        numbers = {"Relu": 0, "Tanh": 0}
        for place, kind in enumerate(activations):
            nodes.append(node("MatMul", [last, f"w{place}"], [f"product_{place}"], f"node_MatMul_{place}"))
            last = f"{kind.lower()}_{numbers[kind]}"
            nodes.append(node(kind, [f"product_{place}"], [last], f"node_{last}"))
            numbers[kind] += 1
        nodes[-1].output[0] = "y"
        return nodes

    weights = [weight(f"w{place}", place) for place in range(3)]
    old = written("Relu", "Relu", "Relu")
    before = read_tagging(
        graph(old, weights, dict(zip((each.name for each in old), ["first"] * 4 + ["act", "last"], strict=True)))
    )
    found = [
        facts.path for facts in carry(before, graph(written("Tanh", "Relu", "Relu"), weights), may_differ=True).nodes
    ]
    assert found == ["first", "first", "first", "first", "act", "last"]
    moved = {
        facts.key: facts
        for facts in carry(before, graph(written("Relu", "Relu", "Relu"), weights), may_differ=True).nodes
    }
    assert {facts.rule for facts in moved.values()} == {"same node"}


def test_a_node_named_after_a_value_that_is_gone_stands_for_what_made_it() -> None:
    """As of a layout of blocks: each node's name is its old value's with the tool's word, no value keeps its name."""

    def blocked(name: str) -> dict[str, NodeFacts]:
        return carried(
            [
                node("FusedGemm", ["x", "first.weight", "first.bias"], ["a"], "sum_nchwc", domain="tool"),
                node("Conv", ["a"], ["b"], name, domain="tool"),
                node("MatMul", ["b", "last.weight"], ["y"], "node_MatMul_4"),
            ]
        )

    found = blocked("active_nchwc")
    assert is_(found["active_nchwc"], "direct", "act")
    assert found["active_nchwc"].rule == "made name"
    assert found["sum_nchwc"].stands_for == ("node_MatMul_1", "node_Add_2")
    assert blocked("activenchwc")["activenchwc"].rule != "made name"
    assert blocked("product_nchwc")["product_nchwc"].stands_for == ()  # its maker is in the first already


def test_of_exchanged_names_each_node_is_the_one_that_read_its_weight() -> None:
    found = carried(
        [
            node("MatMul", ["x", "first.weight"], ["p"], "node_MatMul_4"),
            node("Add", ["p", "first.bias"], ["sum"], "node_Add_2"),
            node("Relu", ["sum"], ["active"], "node_Relu_3"),
            node("MatMul", ["active", "last.weight"], ["q"], "node_MatMul_1"),
        ]
    )
    assert is_(found["node_MatMul_4"], "direct", "first")
    assert is_(found["node_MatMul_1"], "direct", "last")


def twice(*nodes: onnx.NodeProto, paths: dict[str, str]) -> Tagging:
    return read_tagging(graph(list(nodes), WEIGHTS, paths))


def test_a_weight_that_two_nodes_read_leads_to_the_one_that_did_not_survive() -> None:
    first = node("MatMul", ["x", "first.weight"], ["a"], "one")
    before = twice(first, node("MatMul", ["a", "first.weight"], ["y"], "two"), paths={"one": "first", "two": "last"})
    second = node("FusedMatMul", ["a", "first.weight"], ["other"], "made", domain="com.microsoft")
    after = graph([node("MatMul", ["x", "first.weight"], ["a"], "one"), second, node("Sin", ["other"], ["z"])], WEIGHTS)
    found = {facts.key: facts for facts in carry(before, after).nodes}
    assert is_(found["made"], "direct", "last")
    assert found["made"].stands_for == ("two",)


@pytest.mark.parametrize(("operator", "both"), [("Relu", True), ("Sin", False)])
def test_of_duplicates_the_one_that_was_kept_stands_for_both(operator: str, both: bool) -> None:
    readers = [
        node("MatMul", ["r", "first.weight"], ["a"], "m1"),
        node("MatMul", ["s", "last.weight"], ["b"], "m2"),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    made = [node("Relu", ["x"], ["r"], "r1"), node(operator, ["x"], ["s"], "r2")]
    before = twice(*made, *readers, paths={"r1": "first", "r2": "act", "m1": "first", "m2": "last"})
    readers = [
        node("MatMul", ["r", "first.weight"], ["a"], "m1"),
        node("MatMul", ["r", "last.weight"], ["b"], "m2"),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    after = graph([node("Relu", ["x"], ["r"], "r1"), *readers], WEIGHTS)
    found = {facts.key: facts for facts in carry(before, after).nodes}
    assert found["r1"].stands_for == (("r1", "r2") if both else ("r1",))


@pytest.mark.parametrize(("kind", "read_as"), [("BFLOAT16", "float32"), ("INT8", "int8"), ("FLOAT16", "float16")])
def test_elements_are_read_as_numpy_knows_them(kind: str, read_as: str) -> None:
    numbers = np.arange(8)
    held = ir.tensor(numbers.astype(ir.DataType[kind].numpy()))
    array = elements(ir.Value(name="w", const_value=held))
    assert array is not None
    assert array.dtype == read_as
    assert array.tolist() == numbers.tolist()
