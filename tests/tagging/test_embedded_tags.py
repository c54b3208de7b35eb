"""Tags in the file: only in node metadata, replaced and not doubled, still there after save and load."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from pytest_htp.capture.marks import ORIGIN_KEY, all_nodes, clear_marks
from pytest_htp.tag import HierarchyTag
from pytest_htp.tagging.embed import SUFFIXES, embed_tags, strip_tags
from pytest_htp.tagging.tagger import tag_graph

KEYS = {f"htp.{suffix}" for suffix in SUFFIXES}


@pytest.fixture
def plain(exported: Callable[..., Any]) -> Any:
    """An export of its own (fused, in bodies, twice called nodes) that the test may write into."""
    return copy.copy(exported("gates"))


@pytest.fixture(autouse=True)
def _leave_no_tags(plain: Any) -> Any:
    yield
    for namespace in ("htp", "winml"):
        strip_tags(plain.program, namespace)


def proto(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


def without_ours(model: ir.Model) -> list[tuple[Any, ...]]:
    """Everything about the nodes but our metadata."""
    return [
        (
            node.name,
            node.op_type,
            node.domain,
            sorted(node.attributes),
            [value.name if value is not None else None for value in node.inputs],
            [value.name for value in node.outputs],
            {key: text for key, text in node.metadata_props.items() if key not in KEYS},
        )
        for node in all_nodes(model)
    ]


def test_nothing_but_node_metadata_changes(plain: Any) -> None:
    before, bytes_before = without_ours(plain.program), proto(plain.program)
    embed_tags(plain.tagging, "htp")
    assert without_ours(plain.program) == before
    for facts in plain.tagging.nodes:
        props = facts.node.metadata_props
        assert props["htp.hierarchy.tag"] == plain.tagging.tags[facts.key]
        assert props["htp.hierarchy.depth"] == str(HierarchyTag.parse(props["htp.hierarchy.tag"]).depth)
        assert props["htp.hierarchy.evidence"] == facts.evidence
    strip_tags(plain.program, "htp")
    assert proto(plain.program) == bytes_before


def test_twice_is_once(plain: Any) -> None:
    embed_tags(plain.tagging, "htp")
    once = proto(plain.program)
    embed_tags(plain.tagging, "htp")
    assert proto(plain.program) == once
    for node in ir.to_proto(plain.program).graph.node:
        keys = [entry.key for entry in node.metadata_props]
        assert len(set(keys)) == len(keys)


def test_tagging_a_tagged_model_changes_nothing(plain: Any) -> None:
    embed_tags(plain.tagging, "htp")
    again = plain.retagged(plain.provenance)
    assert again.tags == plain.tagging.tags
    assert again.details == plain.tagging.details


def test_an_untagged_node_says_so_and_loses_an_old_tag(plain: Any) -> None:
    embed_tags(plain.tagging, "htp")
    nothing_known = tag_graph(plain.program, plain.hierarchy.modules, passes=())
    embed_tags(nothing_known, "htp")
    for node in all_nodes(plain.program):
        assert {key: node.metadata_props.get(key) for key in KEYS} == {
            "htp.hierarchy.evidence": "none",
            "htp.hierarchy.tag": None,
            "htp.hierarchy.depth": None,
        }


def test_another_namespace(plain: Any) -> None:
    embed_tags(plain.tagging, "winml")
    for facts in plain.tagging.nodes:
        assert facts.node.metadata_props["winml.hierarchy.tag"] == plain.tagging.tags[facts.key]
        assert not KEYS & facts.node.metadata_props.keys()


@pytest.mark.parametrize("external", [None, "model.onnx.data"])
def test_tags_survive_saving_and_loading(plain: Any, tmp_path: Path, external: str | None) -> None:
    embed_tags(plain.tagging, "htp")
    clear = [node.metadata_props.pop(ORIGIN_KEY, None) for node in all_nodes(plain.program)]
    path = tmp_path / "model.onnx"
    ir.save(plain.program, path, external_data=external, size_threshold_bytes=0)
    assert (tmp_path / "model.onnx.data").exists() == (external is not None)
    onnx.checker.check_model(str(path), full_check=True)
    loaded = ir.load(path)
    tags = [node.metadata_props["htp.hierarchy.tag"] for node in all_nodes(loaded)]
    assert tags == [plain.tagging.tags[facts.key] for facts in plain.tagging.nodes]
    assert not any(ORIGIN_KEY in node.metadata_props for node in all_nodes(loaded))
    for node, mark in zip(all_nodes(plain.program), clear, strict=True):
        if mark is not None:
            node.metadata_props[ORIGIN_KEY] = mark


def test_the_runtime_computes_the_same_with_and_without(plain: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    feeds = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)}
    results = []
    for tagged in (False, True):
        if tagged:
            embed_tags(plain.tagging, "htp")
        path = tmp_path / f"{tagged}.onnx"
        ir.save(plain.program, path)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        results.append(session.run(None, feeds))
    assert [array.tobytes() for array in results[0]] == [array.tobytes() for array in results[1]]


def test_marks_are_gone_when_the_scaffolding_is_taken_down(exported: Callable[..., Any]) -> None:
    program = exported("unused").program
    assert any(ORIGIN_KEY in node.metadata_props for node in all_nodes(program))
    clear_marks(program)
    assert not any(ORIGIN_KEY in node.metadata_props for node in all_nodes(program))
