from __future__ import annotations

import time
from collections.abc import Callable

from pytest_htp.monitor.module_tree import ModuleRow, ModuleTree
from pytest_htp.monitor.text import PLAIN
from pytest_htp.monitor.tree import text_lines
from pytest_htp.vocabulary import HTPExportData, ModuleInfo


def drawn(tree: ModuleTree, **options: int) -> list[str]:
    return list(text_lines(tree, symbols=PLAIN, **options))  # type: ignore[arg-type]


def test_repeated_layers_are_drawn_once_with_counts_of_their_descendants(
    new_data: Callable[..., HTPExportData],
) -> None:
    assert drawn(ModuleTree.from_data(new_data())) == [
        "BertModel | 108 nodes: 81 direct, 27 fused",
        "|- embeddings BertEmbeddings | 4 nodes: 3 direct, 1 fused",
        "`- encoder BertEncoder | 100 nodes: 75 direct, 25 fused",
        "   `- layer.{0..11} BertLayer x12 | 8 nodes each: 6 direct, 2 fused",
        "      `- attention BertAttention | 4 nodes: 3 direct, 1 fused",
        "1 registered module never ran",
        "1 node in no module (no evidence)",
    ]


def test_a_layer_that_differs_deep_inside_is_drawn_on_its_own(
    new_data: Callable[..., HTPExportData],
) -> None:
    lines = drawn(ModuleTree.from_data(new_data(odd_layer=5)))
    assert "   |- layer.{0..4,6..11} BertLayer x11 | 8 nodes each: 6 direct, 2 fused" in lines
    assert "   `- layer.5 BertLayer | 8 nodes: 6 direct, 2 fused" in lines
    assert "      `- attention OddAttention | 4 nodes: 3 direct, 1 fused" in lines


def test_cut_trees_say_how_much_is_hidden(new_data: Callable[..., HTPExportData]) -> None:
    tree = ModuleTree.from_data(new_data())
    assert tree.modules == 27
    by_rows = drawn(tree, max_rows=2)
    assert len(by_rows) == 5
    assert by_rows[2] == "... 25 more modules not shown"
    by_depth = drawn(tree, max_depth=3)
    assert by_depth[3].endswith("fused (+12 modules below)")
    assert not any("more module" in line for line in by_depth)
    both = drawn(tree, max_depth=2, max_rows=2)
    assert both[2] == "... 25 more modules not shown"


def test_without_tags_no_count_is_shown(new_data: Callable[..., HTPExportData]) -> None:
    data = HTPExportData(hierarchy=new_data().hierarchy)
    assert not any("node" in line for line in drawn(ModuleTree.from_data(data)))


def test_modules_are_shown_although_none_is_known_to_have_run() -> None:
    data = HTPExportData(hierarchy={"": ModuleInfo("", "A"), "b": ModuleInfo("b", "B")})
    assert drawn(ModuleTree.from_data(data)) == ["A", "`- b B"]


def test_tags_of_unlisted_modules_and_foreign_tags_are_shown_too() -> None:
    data = HTPExportData(tagged_nodes={"n0": "/A", "n1": "/A/B.b.0", "n2": "not a tag"})
    assert drawn(ModuleTree.from_data(data)) == [
        "A | 3 nodes",
        "|- b.0 B | 1 node",
        "`- not a tag | 1 node",
    ]


def test_subtrees_that_are_alike_are_drawn_once() -> None:
    rows = [ModuleRow("", "Net", 1, (("direct", 1),))]
    for block in ("stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0", "stages.1.blocks.1"):
        rows += [ModuleRow(block, "Block", 3, (("direct", 3),)), ModuleRow(f"{block}.norm", "Norm", 2)]
    tree = ModuleTree((*rows, ModuleRow("stages.2.blocks.0", "Block", 3)))
    assert tree.modules == 10
    assert drawn(tree) == [
        "Net | 24 nodes: 13 direct",
        "|- stages.{0..1}.blocks.{0..1} Block x4 | 5 nodes each: 3 direct",
        "|  `- norm Norm | 2 nodes",
        "`- stages.2.blocks.0 Block | 3 nodes",
    ]


def test_braces_in_real_names_are_not_read_as_folds() -> None:
    data = HTPExportData(hierarchy={"": ModuleInfo("", "A"), "{0..9}": ModuleInfo("{0..9}", "B")})
    tree = ModuleTree.from_data(data)
    assert tree.modules == 2
    assert drawn(tree)[1] == "`- %7B0..9%7D B"


def test_depth_and_size_don_t_break_it() -> None:
    deep = ModuleTree(tuple(ModuleRow(".".join(["m"] * depth), "M", 1) for depth in range(2000)))
    assert next(text_lines(deep)) == "M · 2,000 nodes"
    assert len(drawn(deep)) == 2000
    assert max(map(len, drawn(deep))) < 200


def test_eight_thousand_modules_and_a_hundred_thousand_nodes_are_counted_in_one_pass() -> None:
    data = HTPExportData(hierarchy={"": ModuleInfo("", "A", "/A", 0, 1)})
    for number in range(8000):
        path = f"layers.{number}"
        data.hierarchy[path] = ModuleInfo(path, f"B{number % 7}", f"/A/B{number % 7}.{path}", number + 1, 1)
    tags = [info.tag for info in data.hierarchy.values()]
    data.tagged_nodes = {f"node_{number}": tags[number % len(tags)] for number in range(100_000)}
    start = time.process_time()
    lines = drawn(ModuleTree.from_data(data), max_rows=50)
    assert time.process_time() - start < 5  # 0.1 s here; quadratic work would take minutes
    assert lines[0] == "A | 100,000 nodes"
