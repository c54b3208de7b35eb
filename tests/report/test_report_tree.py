from __future__ import annotations

from typing import Any

import pytest
from htp_sample_results import build_report, finding, record, result, row
from hypothesis import given
from hypothesis import strategies as st

from pytest_htp.report.tree import TreeNode, build_tree, limit_rows, walk
from pytest_htp.report.treemap import HEIGHT, TILE_LIMIT, WIDTH, squarify, treemap


def tree_of(rows: list[Any], before: list[Any] | None = None, **more: Any) -> TreeNode:
    old = record(before, "Model") if before is not None else None
    (item,) = build_report([result("t", record(rows, "Model"), old, **more)], {}).exports
    tree = build_tree(item)
    assert tree is not None
    return tree


def by_path(tree: TreeNode) -> dict[str, TreeNode]:
    return {node.path: node for node in walk(tree)}


LAYER = {"Add": 1}


def test_containers_that_never_run_join_their_only_child() -> None:
    tree = tree_of([row("", "M", {}), row("encoder", "E", {}), row("encoder.layer.{0..11}", "L", LAYER)])
    (encoder,) = tree.children
    (layers,) = encoder.children
    assert (layers.name, layers.count, layers.nodes) == ("layer.{0..11}", 12, 12)


def test_a_layer_that_left_the_fold_is_the_only_changed_row() -> None:
    before = [row("", "M", {}), row("layer.{0..11}.ff", "F", LAYER)]
    today = [row("", "M", {}), row("layer.{0..4,6..11}.ff", "F", LAYER), row("layer.5.ff", "F", {"Add": 2})]
    tree = tree_of(today, before)
    nodes = by_path(tree)
    assert nodes["layer.5.ff"].status == "changed"
    assert nodes["layer.{0..4,6..11}.ff"].status == "same"
    assert not any(node.status == "removed" for node in nodes.values())
    assert nodes["layer.5.ff"].open
    assert not nodes["layer.{0..4,6..11}.ff"].open


def test_fewer_layers_change_the_count() -> None:
    before = [row("layer.{0..11}", "F", LAYER)]
    node = by_path(tree_of([row("layer.{0..9}", "F", LAYER)], before))["layer.{0..9}"]
    assert (node.status, node.count, node.count_before) == ("changed", 10, 12)


def test_added_and_removed_modules_are_marked_and_open() -> None:
    tree = tree_of([row("", "M", {}), row("new", "N", LAYER)], [row("", "M", {}), row("old", "O", LAYER)])
    nodes = by_path(tree)
    assert (nodes["new"].status, nodes["old"].status) == ("added", "removed")
    assert nodes["old"].nodes == 0
    assert tree.open


def test_without_a_baseline_nothing_is_marked() -> None:
    assert {node.status for node in walk(tree_of([row("", "M", {}), row("a", "A", LAYER)]))} == {"same"}


def test_findings_open_the_way_to_their_module() -> None:
    found = [finding("tags.moved", "regression", "a.b.3.c", "moved")]
    rows = [row("", "M", {}), row("a", "A", {}), row("a.b.{0..5}", "B", {}), row("a.b.{0..5}.c", "C", LAYER)]
    nodes = by_path(tree_of(rows, rows, findings=found))
    assert nodes["a.b.{0..5}.c"].findings == [0]
    assert nodes["a"].open
    assert nodes["a.b.{0..5}"].open


@pytest.mark.parametrize(("attested", "expected"), [(2, "attested"), (1, "")])
def test_attested_is_said_only_where_the_count_agrees(attested: int, expected: str) -> None:
    rows = [row("", "M", {}), *(row(name, "A", LAYER) for name in "abcd")]
    measured = {
        "measured": True,
        "attested": attested,
        "contradicted": ["c"],
        "unmatched": [{"module": "d", "reason": "pass-through"}],
    }
    (item,) = build_report([result("t", record(rows, "M", attestation=measured))], {}).exports
    tree = build_tree(item)
    assert tree is not None
    marks = {node.path: node.attestation for node in walk(tree)}
    assert marks == {"": "", "a": expected, "b": expected, "c": "contradicted", "d": "unmatched"}


def test_a_very_deep_path_keeps_its_last_segments_together() -> None:
    path = ".".join(f"m{chr(97 + i % 26)}" for i in range(3_000))
    nodes = list(walk(tree_of([row("", "M", {}), row(path, "A", LAYER)])))
    assert nodes[-1].path == path
    assert len(nodes) == 2


def test_a_long_tree_keeps_changes_first_and_says_what_is_missing() -> None:
    names = [f"m{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(100)]
    before = [row("", "M", {}), *(row(name, "A", LAYER) for name in names)]
    today = [*before[:-1], row(names[-1], "A", {"Mul": 3})]
    tree = tree_of(today, before)
    limit_rows(tree, 10)
    assert len(list(walk(tree))) == 10
    assert names[-1] in by_path(tree)
    assert (tree.omitted, tree.omitted_nodes) == (91, 91)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=80))
def test_tiles_fill_the_rectangle_in_proportion(values: list[int]) -> None:
    values.sort(reverse=True)
    boxes = squarify(values, WIDTH, HEIGHT)
    total = sum(values)
    for value, (x, y, width, height) in zip(values, boxes, strict=True):
        assert width * height == pytest.approx(value / total * WIDTH * HEIGHT, rel=1e-6, abs=1e-6)
        assert -1e-6 <= x <= x + width <= WIDTH * (1 + 1e-6) + 1e-6
        assert -1e-6 <= y <= y + height <= HEIGHT * (1 + 1e-6) + 1e-6


def test_small_modules_share_one_tile() -> None:
    rows = [
        row("", "M", {}),
        *(row(f"m{chr(97 + i // 26)}{chr(97 + i % 26)}", "A", LAYER) for i in range(100)),
    ]
    tiles = treemap(tree_of(rows), lambda node: node.nodes)
    assert len(tiles) == TILE_LIMIT + 1
    assert sum(tile.value for tile in tiles) == 100
    assert [tile.path for tile in tiles if tile.modules > 1] == ["40 smaller modules"]


def test_nothing_to_measure_gives_no_tile() -> None:
    assert treemap(tree_of([row("", "M", {})]), lambda node: node.bytes) == []
