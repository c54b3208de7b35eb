"""Bodies of conditions, loops and scans: nothing is recorded there, the program knows who runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Get = Callable[..., Any]


def body_paths(result: Any) -> list[tuple[str, str | None]]:
    return [(facts.node.op_type, facts.path) for facts in result.tagging.nodes if facts.graph]


@pytest.mark.parametrize("name", ["gates", "while", "scan", "branches"])
def test_everything_in_a_body_is_inferred_and_nothing_is_lost(exported: Get, name: str) -> None:
    result = exported(name)
    assert result.provenance.unobserved == []
    bodies = [facts for facts in result.tagging.nodes if facts.graph]
    assert bodies
    assert {(facts.evidence, facts.rule) for facts in bodies} == {("inferred", "body")}
    assert result.tagging.coverage.none == 0


def test_bodies_inside_repeated_modules(exported: Get) -> None:
    """Their FX names repeat; each node is found inside its own gate, parameters name the very module."""
    result = exported("gates")
    for index in range(2):
        gate = f"gates.{index}"
        own = [path for _, path in body_paths(result) if path and path.startswith(gate)]
        assert len(own) == 7
        assert {f"{gate}.positive.a", f"{gate}.positive.b.0", f"{gate}.negative", gate} == set(own)
    assert result.paths("If") == ["gates.0", "gates.1"]


def test_a_branch_that_was_not_taken_still_encloses_its_modules(exported: Get) -> None:
    result = exported("branches")
    taken = "negative" in result.hierarchy.executed
    missed = "positive" if taken else "negative"
    assert missed not in result.hierarchy.executed
    assert missed in {path.partition(".")[0] for _, path in body_paths(result) if path}


def test_a_loop_inside_a_module(exported: Get) -> None:
    result = exported("while")
    assert result.paths("Loop") == ["loop"]
    assert result.paths("Gemm") == ["loop.step.a", "loop.step.b.0", "out"]
    assert {path for op, path in body_paths(result) if op != "Gemm"} == {"loop"}


def test_a_scan(exported: Get) -> None:
    result = exported("scan")
    assert result.paths("Gemm") == ["cell.a", "cell.b.0"]
    assert result.paths("Scan") == [""]


def test_labels_tell_graphs_apart(exported: Get) -> None:
    result = exported("gates")
    assert len({facts.graph for facts in result.tagging.nodes if facts.graph}) == 4
    assert len(result.tagging.details) == result.tagging.coverage.total_nodes
