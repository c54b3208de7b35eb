"""The index over a real exported program: joins, shared bodies, nodes inserted without a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pytest_htp.capture.program import Frame, ProgramIndex
from pytest_htp.tagging.stacks import traced_calls
from pytest_htp.vocabulary import ModuleInfo
from tests.tagging import htp_odd_modules


@pytest.fixture
def program() -> Any:
    model, inputs = htp_odd_modules.MODELS["functions"]()
    return torch.export.export(model.eval(), (), inputs)


def nodes_of(program: Any) -> list[Any]:
    return [node for node in program.graph.nodes if node.op == "call_function"]


def path(index: ProgramIndex, node: Any) -> str | None:
    origin = index.origin_of(node)
    assert origin is not None
    return origin.frames[-1].path if origin.frames else None


def test_every_node_has_its_call(program: Any) -> None:
    index = ProgramIndex(program)
    assert [path(index, node) for node in nodes_of(program)] == [
        "block.a",
        "block",
        "block.b.0",
        "block.b.1",
        "",
        "",
        "",
    ]
    assert {origin.rule for origin in index.origins.values()} == {"program"}
    assert [frame.path for frame in index.calls] == [
        "",
        "block",
        "block.a",
        "block.b",
        "block.b.0",
        "block.b.1",
    ]
    assert index.origin_of(object()) is None


def test_a_node_without_record_between_two_of_one_call_is_in_it(program: Any) -> None:
    lost = nodes_of(program)[5]
    lost.meta["nn_module_stack"] = {}
    index = ProgramIndex(program)
    origin = index.origin_of(lost)
    assert origin is not None
    assert (path(index, lost), origin.rule) == ("", "program order")
    assert index.named(lost.name) == origin


@pytest.mark.parametrize("position", [0, 1, 6], ids=["first", "between calls", "last"])
def test_elsewhere_it_stays_unknown(program: Any, position: int) -> None:
    lost = nodes_of(program)[position]
    lost.meta["nn_module_stack"] = None
    assert path(ProgramIndex(program), lost) is None


def test_names_that_several_graphs_have_lead_nowhere(exported: Callable[..., Any]) -> None:
    index = exported("gates").provenance.program
    names = [name for _, name in index.origins]
    assert names.count("linear") > 1
    assert index.named("linear") is None
    assert index.named("cond") is not None
    assert index.named("no such node") is None


def test_traced_calls_are_the_model_s_own(program: Any) -> None:
    modules = {
        name: ModuleInfo(path=name, class_name=kind)
        for name, kind in {"": "Functions", "block": "Inner", "block.a": "Other"}.items()
    }
    assert traced_calls(ProgramIndex(program), modules) == ["", "block"]
    assert traced_calls(None, modules) == []


def test_a_body_that_two_calls_share_has_what_their_stacks_have_in_common() -> None:
    """``invoke_subgraph`` compiles equal regions once: one graph, called from several modules."""
    model, inputs = htp_odd_modules.MODELS["gates"]()
    with torch.no_grad():
        program = torch.export.export(model.eval(), (), inputs)
    first, second = (node for node in nodes_of(program) if "cond" in str(node.target))
    second.args = (second.args[0], *first.args[1:3], second.args[3])
    index = ProgramIndex(program)
    body = getattr(program.graph_module, str(first.args[1].target))
    shared = [index.origin_of(node) for node in body.graph.nodes if node.op == "call_function"]
    assert shared
    for origin in shared:
        assert origin is not None
        assert origin.frames == (Frame("", index.calls[0].class_name, 0),)
