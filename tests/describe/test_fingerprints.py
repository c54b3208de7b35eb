"""Fingerprints of modules on real exports: what changes them, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from pytest_htp.describe.fingerprint import Fingerprints
from pytest_htp.describe.places import Places


def prints(result: Any) -> dict[str, str]:
    fingerprints = Fingerprints(Places(result.tagging.graph))
    return {path: fingerprints.of(path) for path in result.tagging.graph.modules}


def changed(result: Any, before: dict[str, str]) -> list[str]:
    now = prints(result)
    return [path for path in before if before[path] != now[path]]


@contextmanager
def reading(node: ir.Node, index: int, value: ir.Value | None) -> Iterator[None]:
    """``node`` reads another value for a while."""
    before = node.inputs[index]
    node.replace_input_with(index, value)
    try:
        yield
    finally:
        node.replace_input_with(index, before)


@pytest.fixture
def cross(exported: Callable[..., Any]) -> Any:
    return exported("cross_attentions")


def node_in(result: Any, path: str, op_type: str) -> ir.Node:
    return next(facts.node for facts in result.of(op_type) if facts.path == path)


def test_repeated_layers_are_equal_and_different_ones_are_not(cross: Any) -> None:
    found = prints(cross)
    assert all(found[path] for path in cross.hierarchy.executed)
    for inner in ("", ".query", ".key"):
        assert len({found[f"layers.{index}{inner}"] for index in range(3)}) == 1
    assert found["layers.0"] != found["layers.0.query"] != found[""]


def test_another_weight_seed_changes_nothing(cross: Any) -> None:
    from tests.tagging.htp_exported import export

    assert prints(export("cross_attentions", seed=1)) == prints(cross)


def test_another_process_and_hash_seed_changes_nothing(cross: Any) -> None:
    code = (
        "import json, sys; from tests.tagging.htp_exported import export;"
        "from tests.describe.test_fingerprints import prints;"
        "json.dump(prints(export('cross_attentions')), sys.stdout)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == prints(cross)


def test_a_changed_attribute_is_a_change_of_its_module_alone(cross: Any) -> None:
    before = prints(cross)
    node = node_in(cross, "layers.1", "Softmax")
    axis = node.attributes["axis"]
    node.attributes["axis"] = ir.AttrInt64("axis", 1)
    try:
        assert changed(cross, before) == ["layers.1"]
    finally:
        node.attributes["axis"] = axis


def test_swapped_operands_are_a_change_of_their_module_alone(cross: Any) -> None:
    before = prints(cross)
    node = node_in(cross, "layers.1", "Add")
    first, second = node.inputs
    with reading(node, 0, second), reading(node, 1, first):
        assert changed(cross, before) == ["layers.1"]
    assert changed(cross, before) == []


def test_a_skipped_step_is_a_change_of_its_module_alone(cross: Any) -> None:
    before = prints(cross)
    softmax = node_in(cross, "layers.2", "Softmax")
    reader = next(iter(softmax.outputs[0].uses()))
    with reading(reader.node, reader.idx, softmax.inputs[0]):
        assert changed(cross, before) == ["layers.2"]


def test_a_child_that_is_given_another_value_is_a_change_of_its_caller(cross: Any) -> None:
    """The key projection reads the layer's own input instead of the memory: itself it is what it was."""
    before = prints(cross)
    key = node_in(cross, "layers.1.key", "MatMul")
    query = node_in(cross, "layers.1.query", "MatMul")
    with reading(key, 0, query.inputs[0]):
        assert changed(cross, before) == ["layers.1"]


def test_children_handed_to_one_another_in_another_order(exported: Callable[..., Any]) -> None:
    """Between modules without nodes of their own the root decides who reads whom."""
    result = exported("nest")
    before = prints(result)
    gemms = {facts.path: facts.node for facts in result.of("Gemm")}
    with reading(gemms["up.1.linear"], 0, gemms["up.0.linear"].inputs[0]):
        assert changed(result, before) == [""]


def test_constants_count_by_value_parameters_by_name(exported: Callable[..., Any]) -> None:
    result = exported("functions")
    before = prints(result)
    node = node_in(result, "", "Sub")
    constant = node.inputs[1]
    other = ir.Value(name="two", const_value=ir.tensor([2.0], name="two"), type=constant.type, shape=constant.shape)
    with reading(node, 1, other):
        assert changed(result, before) == [""]
    first, second = (facts.node for facts in result.of("Gemm"))
    with reading(first, 1, second.inputs[1]):
        assert changed(result, before) == ["block.a"]


def test_modules_that_left_nothing_have_none(exported: Callable[..., Any]) -> None:
    found = prints(exported("unused"))
    assert found["spare"] == found["drop"] == ""
    assert found["used"]
