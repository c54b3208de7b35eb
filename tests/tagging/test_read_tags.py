"""A tagging from embedded tags alone, lines of the user's code, and constants that were computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from pytest_htp.errors import HTPUsageError
from pytest_htp.tagging.computed import COMPUTED, computed_from_data
from pytest_htp.tagging.read import read_tagging
from pytest_htp.tagging.sources import STACK_TRACE, source_lines
from pytest_htp.tagging.tagger import Tagging


def node(tag: str | None, evidence: str | None = None, space: str = "htp", **metadata: str) -> ir.Node:
    found = {f"{space}.hierarchy.tag": tag, f"{space}.hierarchy.evidence": evidence, **metadata}
    return ir.Node("", "Relu", [], metadata_props={key: text for key, text in found.items() if text is not None})


def tagged(*nodes: ir.Node, initializers: tuple[str, ...] = (), namespace: str = "htp") -> Tagging:
    weights = [ir.Value(name=name, const_value=ir.tensor(np.zeros(2, "f4"), name=name)) for name in initializers]
    return read_tagging(ir.Model(ir.Graph([], [], nodes=nodes, initializers=weights), ir_version=10), namespace)


def test_modules_on_the_path_of_a_tag_are_known() -> None:
    tagging = tagged(node("/Net/Block.block/Linear.up", "direct"), node("/Net/Block.block"), node(None))
    assert {path: (info.path, info.class_name, info.tag, info.calls) for path, info in tagging.graph.modules.items()} \
        == {
            "": ("", "Net", "/Net", 1),
            "block": ("block", "Block", "/Net/Block.block", 1),
            "block.up": ("block.up", "Linear", "/Net/Block.block/Linear.up", 1),
        }  # fmt: skip
    assert [(facts.path, facts.evidence, facts.rule) for facts in tagging.nodes] == [
        ("block.up", "direct", "embedded"),
        ("block", "inferred", "embedded"),
        (None, "none", None),
    ]


def test_a_tag_without_evidence_is_undecided_but_names_modules() -> None:
    tagging = tagged(node("/Net/Linear.up", "none"))
    assert (tagging.nodes[0].path, tagging.nodes[0].evidence) == (None, "none")
    assert list(tagging.graph.modules) == ["", "up"]


def test_another_namespace_is_another_tagging() -> None:
    assert tagged(node("/Net", space="winml")).tags == {}
    assert tagged(node("/Net", space="winml"), namespace="winml").tags == {"node_Relu_0": "/Net"}


def test_parameters_are_initializers_named_after_a_known_module() -> None:
    inner = ir.Value(name="up.bias", const_value=ir.tensor(np.zeros(2, "f4"), name="up.bias"))
    body = ir.Graph([], [], nodes=[node("/Net/Linear.up")], initializers=[inner])
    tagging = tagged(
        ir.Node("", "If", [], [ir.AttrGraph("then_branch", body)]), initializers=("up.weight", "down.weight", "val_1")
    )
    assert tagging.graph.shared_parameters == {name: (name,) for name in ("up.weight", "up.bias")}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (node("no tag"), "node 'node_Relu_0' has a tag that can't be read: "),
        (node("/Net", "guessed"), "has the evidence 'guessed'; known are direct, fused, inferred, none"),
    ],
)
def test_what_cannot_be_read_names_the_node(bad: ir.Node, words: str) -> None:
    with pytest.raises(HTPUsageError, match=words):
        tagged(bad)


def trace(*places: tuple[Path, int]) -> str:
    return "\n".join(f'File "{file}", line {line}, in forward\n    y = x' for file, line in places)


def test_the_innermost_line_of_the_project(tmp_path: Path) -> None:
    mine, library = tmp_path / "src" / "net.py", tmp_path / "venv" / "site-packages" / "lib.py"
    traces = [
        ("/Net", trace((mine, 1), (mine, 2), (library, 3))),
        ("/Net", trace((mine, 9))),
        ("/Net/Linear.up", trace((mine, 4), (tmp_path.parent / "other.py", 5))),
        ("/Net/Linear.up", trace((mine, 4), (tmp_path.parent / "other.py", 5))),
        ("/Net/Linear.down", trace((library, 6), (Path("relative.py"), 7))),
        (None, trace((mine, 8))),
        ("/Net/Linear.side", None),
    ]
    nodes = [node(tag, **{STACK_TRACE: text} if text else {}) for tag, text in traces]
    assert source_lines(tagged(*nodes), tmp_path) == {"": {"Relu": "src/net.py:2"}, "up": {"Relu": "src/net.py:4"}}


RULE = {"pkg.onnxscript.rewriter.rule_name": "FuseBatchNorm"}


@pytest.mark.parametrize(
    ("dtype", "metadata", "computed", "expected"),
    [
        ("f4", {}, None, False),
        ("f4", RULE, None, True),
        ("i8", RULE, None, False),
        ("i8", {}, True, True),
        ("f4", {}, False, False),
    ],
)
def test_computed_constants(dtype: str, metadata: dict[str, str], computed: bool | None, expected: bool) -> None:
    value = ir.Value(name="c", const_value=ir.tensor(np.zeros(2, dtype)))
    readers = [ir.Node("", "Relu", [value], metadata_props=each) for each in ({}, metadata)]
    if computed is not None:
        value.meta[COMPUTED] = computed
    assert computed_from_data(value) is expected
    assert len(readers) == 2


def test_what_a_node_computes_is_no_constant() -> None:
    value = ir.Node("", "Relu", []).outputs[0]
    reader = ir.Node("", "Relu", [value], metadata_props=RULE)
    assert not computed_from_data(value)
    assert reader.inputs == (value,)
