"""What a record says of constants, sizes and copies, on both sides of every number that decides."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from pytest_htp.describe.fingerprint import Fingerprints, small_values
from pytest_htp.describe.operands import Sizes, constant, inputs_since, table
from pytest_htp.describe.places import Places
from pytest_htp.describe.weights import duplicates
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts
from pytest_htp.vocabulary import ModuleInfo

Array = npt.NDArray[np.generic]


def tensor(array: object, dtype: str = "f4") -> ir.Tensor:
    return ir.tensor(np.asarray(array, dtype))


def test_up_to_sixteen_elements_are_told_one_by_one() -> None:
    assert small_values(tensor(range(16), "i8")) == f"[{','.join(map(str, range(16)))}]"
    assert small_values(tensor(range(17), "i8")) == ""
    assert constant(tensor([0.1234567, 1e9])) == "FLOAT [0.123457,1e+09]"
    assert constant(tensor(-1, "i8")) == "INT64 -1"
    assert constant(tensor(np.zeros((2, 3, 4))), values=False) == "FLOAT of rank 3"


def test_a_large_table_of_integers_is_told_exactly_by_eight_digits() -> None:
    one, other = (constant(tensor([*range(17), last], "i8")) for last in (0, 1))
    assert one != other
    assert one.startswith("INT64[18] ")
    assert len(one) == len("INT64[18] ") + 8


def test_floats_are_told_to_three_digits_and_tables_to_four() -> None:
    numbers = np.full(20, 1.0)
    assert constant(tensor(numbers)).startswith("FLOAT[20] ~1/1/")
    assert constant(tensor(numbers * 1.0004)).startswith("FLOAT[20] ~1/1/")
    assert constant(tensor(numbers * 1.006)).startswith("FLOAT[20] ~1.01/1.01/")
    assert table(tensor(numbers * 1.0004)).startswith("FLOAT[20] ~1/1/")
    assert table(tensor(numbers * 1.0006)).startswith("FLOAT[20] ~1.001/1.001/")
    assert table(tensor([1, 2], "i8")) == constant(tensor([1, 2], "i8")) == "INT64 [1,2]"


@pytest.mark.parametrize(
    ("number", "shown"), [(0.9e-6, "0"), (1.1e-6, "1.1e-06"), (-0.9e-6, "0"), (-1.1e-6, "-1.1e-06")]
)
def test_a_mean_of_rounding_errors_is_zero(number: float, shown: str) -> None:
    assert table(tensor(np.full(20, number))).split("~")[1].split("/")[0] == shown


def test_a_table_s_order_counts() -> None:
    numbers = np.arange(20)
    assert table(tensor(numbers)) != table(tensor(numbers[::-1].copy()))


def test_what_masks_hold_is_alike_beyond_a_million() -> None:
    def mask(number: float) -> str:
        return table(tensor([number] * 10 + [0] * 10))

    assert mask(-3e38) == mask(-np.inf) == mask(-1.1e6) == mask(-1e6) != mask(-0.9e6)
    assert mask(np.nan) == mask(np.inf) == mask(1e6)


@pytest.mark.parametrize(("count", "expected"), [(16, "size[" + ",".join(["7"] * 16) + "]"), (17, None)])
def test_up_to_sixteen_sizes_are_gathered(count: int, expected: str | None) -> None:
    read = ir.Value(name="x", shape=ir.Shape([7, 8]))
    shape = ir.Node("", "Shape", [read])
    places = ir.Value(name="i", const_value=tensor([0] * count, "i8"))
    gathered = ir.Node("", "Gather", [shape.outputs[0], places])
    assert Sizes(lambda name: name).of(gathered.outputs[0]) == expected


def facts(*arrays: Array) -> GraphFacts:
    values = [ir.Value(name=f"w{place}", const_value=ir.tensor(array)) for place, array in enumerate(arrays)]
    graph = ir.Graph([], [], nodes=[], initializers=values)
    return GraphFacts(
        ir.Model(graph, ir_version=10),
        {"": ModuleInfo(class_name="Net", tag="/Net")},
        shared_parameters={f"w{place}": (f"w{place}",) for place in range(2)},
    )


def test_a_kilobyte_stored_twice_is_a_copy() -> None:
    numbers = np.arange(1024).astype("u1")
    (row,) = duplicates(facts(numbers, numbers.copy()))
    assert (row.names, row.copies, row.bytes) == (["w0", "w1"], 2, 1024)
    assert duplicates(facts(numbers[:1023].copy(), numbers[:1023].copy())) == []


def test_what_is_no_copy() -> None:
    numbers = np.arange(65_536, dtype="f4")
    other = numbers.copy()
    other[77] = -1  # no sample
    assert duplicates(facts(numbers, other)) == []
    assert duplicates(facts(numbers, numbers.reshape(256, 256))) == []
    assert duplicates(facts(numbers, numbers.astype("i4"))) == []
    assert duplicates(facts(np.ones(256, "f4"), np.ones(256, "f4"))) == []


def test_a_copy_that_the_exporter_made_counts_without_a_name() -> None:
    numbers = np.arange(512, dtype="f4").reshape(16, 32)
    transposed = np.ascontiguousarray(numbers.T).T  # the same elements, lying otherwise
    (row,) = duplicates(facts(numbers, transposed, numbers.copy()))
    assert (row.names, row.copies) == (["w0", "w1"], 3)


def test_a_fingerprint_has_twelve_digits() -> None:
    node = ir.Node("", "Relu", [ir.Value(name="x")])
    graph = GraphFacts(
        ir.Model(ir.Graph([], [], nodes=[node]), ir_version=10), {"": ModuleInfo(class_name="Net", tag="/Net")}
    )
    graph.nodes[0].decide(Evidence.DIRECT, "", "recorded")
    assert re.fullmatch("[0-9a-f]{12}", Fingerprints(Places(graph)).of(""))


@pytest.mark.parametrize(
    ("operator", "name", "value", "expected"),
    [
        ("Clip", "min", 0.5, (1, "FLOAT 0.5")),
        ("Clip", "max", 6.0, (2, "FLOAT 6")),
        ("Dropout", "ratio", 0.1, (1, "FLOAT 0.1")),
        ("Pad", "pads", [0, 1], (1, "INT64 [0,1]")),
        ("Pad", "value", 0.5, (2, "FLOAT 0.5")),
        ("ReduceSum", "axes", [1], (1, "INT64 [1]")),
        ("Reshape", "shape", [2, -1], (1, "INT64 [2,-1]")),
        ("Slice", "starts", [0], (1, "INT64 [0]")),
        ("Slice", "ends", [3], (2, "INT64 [3]")),
        ("Slice", "axes", [1], (3, "INT64 [1]")),
        ("Split", "split", [1, 2], (1, "INT64 [1,2]")),
        ("Squeeze", "axes", [1], (1, "INT64 [1]")),
        ("TopK", "k", 3, (1, "INT64 [3]")),
        ("Unsqueeze", "axes", [1], (1, "INT64 [1]")),
        ("Upsample", "scales", [1.0, 2.0], (1, "FLOAT [1,2]")),
        ("Pad", "mode", "edge", None),
        ("Softmax", "axis", 1, None),
        ("ConstantOfShape", "value", 1.0, None),
        ("NoOperatorOfOnnx", "axes", [1], None),
    ],
)
def test_attributes_that_later_opsets_have_as_inputs(
    operator: str, name: str, value: object, expected: tuple[int, str] | None
) -> None:
    x = ir.Value(name="x")
    given = {name: value}
    assert inputs_since(ir.node(operator, [x], given)).get(name) == expected  # type: ignore[arg-type]
    assert inputs_since(ir.node(operator, [x], given, domain="of.others")) == {}  # type: ignore[arg-type]
