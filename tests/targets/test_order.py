"""Compilers tell pieces device by device, and nodes by names of their own: in which order they run, whose they are."""

from __future__ import annotations

from pathlib import Path

import onnx
from htp_tagged import Step, chain, written

from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.compilers.bodies import with_names
from pytest_htp.targets.messages import CompiledNode
from pytest_htp.targets.order import in_execution_order
from pytest_htp.targets.placement import place

STEPS: list[Step] = [("a", "Relu", {}), ("b", "Mish", {}), ("c", "Relu", {}), ("d", "Mish", {}), ("e", "Relu", {})]


def graph(folder: Path) -> tuple[Path, Tagging]:
    return written(chain(STEPS), folder)


def node(name: str, device: str = "CPU", piece: int | None = None, operator: str = "Relu") -> CompiledNode:
    return CompiledNode(names=[name], op_type=operator, device=device, piece=piece)


def order(nodes: list[CompiledNode], tagging: Tagging) -> list[str]:
    return [each.names[0] for each in in_execution_order(nodes, tagging)]


def test_pieces_come_after_what_they_read(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    told = [node("n1", "X", 0), node("n3", "X", 1), node("n0"), node("n2"), node("n4")]
    assert order(told, tagging) == ["n0", "n1", "n2", "n3", "n4"]


def test_a_piece_stays_together_behind_all_that_it_reads(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    told = [node("n3", "X", 0), node("n4", "X", 0), node("n2"), node("n0/Fused", "X", 1), node("n1", "X", 1)]
    assert order(told, tagging) == ["n0/Fused", "n1", "n2", "n3", "n4"]


def test_a_copy_is_read_where_it_is(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    told = [node("n0", "X", 0), node("n1", "X", 0), node("n0/duplicated", "X", 1), node("n3", "X", 1), node("n2")]
    assert order(told, tagging) == ["n0", "n1", "n2", "n0/duplicated", "n3"]


def test_what_has_no_name_stays_behind_the_one_before_it_and_circles_end(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    assert order([node("n2"), node(""), node("n0")], tagging) == ["n0", "n2", ""]
    circle = [node("n0", "X", 0), node("n2", "X", 0), node("n1")]  # no compiler could run this
    assert order(circle, tagging) == ["n0", "n2", "n1"]


def test_nodes_of_a_body_go_to_the_module_it_stands_in(tmp_path: Path) -> None:
    path, tagging = graph(tmp_path)
    bodies = [node("", operator=operator) for _ in range(2) for operator in ("Softplus", "Tanh", "Mul")]
    told = with_names([node("n0"), node("n2"), node("n4"), *bodies], onnx.load(path))
    assert [each.names[0] for each in told[3:5]] == ["n1/Softplus_0", "n1/Tanh_1"]
    found = place(in_execution_order(told, tagging), tagging, "X")
    placed = found.modules
    assert found.fallback["b"] == {"Mul": 1, "Softplus": 1, "Tanh": 1}
    assert placed == {"a": {"CPU": 1}, "b": {"CPU": 3}, "c": {"CPU": 1}, "d": {"CPU": 3}, "e": {"CPU": 1}}


def test_nodes_of_a_body_on_two_devices_keep_no_name(tmp_path: Path) -> None:
    path, _ = graph(tmp_path)
    bodies = [node("", device, operator="Tanh") for device in ("CPU", "X")]
    assert with_names([node("n0"), node("n2"), node("n4"), *bodies], onnx.load(path))[3:] == bodies


def test_what_is_gone_between_two_names_is_what_a_node_stands_for(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    told = [
        CompiledNode(names=["n0"], op_type="Relu", device="CPU"),
        CompiledNode(names=["MVN_7"], op_type="MVN", device="CPU", inputs=[0]),
        CompiledNode(names=["n2/transposed"], op_type="Transpose", device="CPU"),  # prepares a weight
        CompiledNode(names=["n3", "n4"], op_type="Fused", device="CPU", inputs=[1, 2]),
    ]
    placed = place(in_execution_order(told, tagging), tagging, "CPU").modules
    assert placed == {name: {"CPU": 1} for name in "abcde"}


def test_quantization_without_a_name_goes_with_what_it_is_for(tmp_path: Path) -> None:
    _, tagging = graph(tmp_path)
    kinds = ("QuantizeLinear", "DequantizeLinear", "Transpose")
    odd = [CompiledNode(names=[f"{kind}_token_{k}"], op_type=kind, device="X", piece=0) for k, kind in enumerate(kinds)]
    told = [node("n0", "X", 0), *odd, node("n2", "X", 0)]
    assert place(told, tagging, "X").modules == {"": {"X": 1}, "a": {"X": 2}, "c": {"X": 2}}
