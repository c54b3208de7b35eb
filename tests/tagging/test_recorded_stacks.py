"""Recorded stacks: read from untrusted metadata, and checked against the model's real modules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_htp.capture.program import frames_of
from pytest_htp.capture.scopes import CLASS_HIERARCHY, NAME_SCOPES, read_stack
from pytest_htp.tagging.stacks import StackReader
from pytest_htp.vocabulary import ModuleInfo

GOOD = {NAME_SCOPES: "['', 'up', 'linear']", CLASS_HIERARCHY: "['m.MLP', 'torch.nn.Linear', 'aten.linear']"}


def reader(**modules: str) -> StackReader:
    """A reader for modules given as ``path=Class``, ``__`` standing for a dot; the root is a ``Root``."""
    table = {"": "Root"} | {path.replace("__", "."): kind for path, kind in modules.items()}
    return StackReader({path: ModuleInfo(path=path, class_name=kind) for path, kind in table.items()})


def test_a_well_formed_stack() -> None:
    stack = read_stack(GOOD)
    assert stack is not None
    assert stack.frames == (("", "m.MLP"), ("up", "torch.nn.Linear"))
    assert stack.fx_name == "linear"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {NAME_SCOPES: GOOD[NAME_SCOPES]},
        {CLASS_HIERARCHY: GOOD[CLASS_HIERARCHY]},
        {**GOOD, NAME_SCOPES: ""},
        {**GOOD, NAME_SCOPES: "[]"},
        {**GOOD, NAME_SCOPES: "['', 'up'"},
        {**GOOD, NAME_SCOPES: "['', 'up']"},
        {**GOOD, NAME_SCOPES: "['', 7, 'linear']"},
        {**GOOD, NAME_SCOPES: "('', 'up', 'linear')"},
        {**GOOD, NAME_SCOPES: "__import__('os').getcwd()"},
        {**GOOD, NAME_SCOPES: "[" * 5000},
        {**GOOD, NAME_SCOPES: "['" + "x" * 60_000 + "', 'up', 'linear']"},
        {**GOOD, NAME_SCOPES: "['\x00', 'up', 'linear'"},
    ],
)
def test_malformed_metadata_is_no_evidence_and_no_exception(metadata: dict[str, str]) -> None:
    assert read_stack(metadata) is None


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_raises(scopes: str, classes: str) -> None:
    stack = read_stack({NAME_SCOPES: scopes, CLASS_HIERARCHY: classes})
    assert stack is None or isinstance(stack.fx_name, str)


def test_every_frame_must_be_a_real_module_of_that_class() -> None:
    read = reader(up="Linear", up__0="Block").read
    assert read([("", "m.Root"), ("up", "torch.nn.Linear")]) == ("", "up")
    assert read([("", "m.Root"), ("up", "")]) == ("", "up")
    assert read([]) is None
    assert read([("", "m.Other")]) is None
    assert read([("", "m.Root"), ("down", "torch.nn.Linear")]) is None
    assert read([("", "m.Root"), ("up", "torch.nn.LazyLinear")]) is None
    pseudo = "_empty_nn_module_stack_from_metadata_hook"
    assert read([(pseudo, pseudo)]) is None


def test_generated_and_nested_class_names() -> None:
    read = reader(up="Linear", odd="a.b").read
    assert read([("up", "torch.nn.utils.parametrize.ParametrizedLinear")]) == ("up",)
    assert read([("up", "tests.test_x.<locals>.Linear")]) == ("up",)
    assert read([("odd", "module.a.b")]) == ("odd",)


def test_spellings_of_tracers() -> None:
    read = reader(block="Block", layers="ModuleList", layers__0="Block", layers__1="Block", layers__2="Block").read
    assert read([("_export_root", "m.Root"), ("_export_root.block", "m.Block")]) == ("", "block")
    assert read([("block@2", "m.Block")]) == ("block",)
    assert read([("layers.slice(1, None, None).0", "m.Block")]) == ("layers.1",)
    assert read([("layers.slice(None, None, -1).0", "m.Block")]) == ("layers.2",)
    assert read([("layers.slice(1, None, None).2", "m.Block")]) is None
    assert read([("layers.slice(1, None, None)", "m.ModuleList")]) is None
    assert read([("layers.slice(0, 9, 0).0", "m.Block")]) is None
    assert read([("layers.slice(1, None, None).x", "m.Block")]) is None
    assert read([("layers.slice(1, None, None).-1", "m.Block")]) is None
    assert read([("gone.slice(1, None, None).0", "m.Block")]) is None
    assert read([("block.slice(1, None, None).0", "m.Block")]) is None


def test_the_root_goes_by_the_class_of_torch_export_s_wrapper() -> None:
    read = reader(up="Linear").read
    wrapper = "torch.export._trace._aot_export_non_strict.<locals>.Wrapper"
    assert read([("", wrapper)]) == ("",)
    assert read([("", "m.Wrapper")]) is None
    assert read([("up", wrapper)]) is None


def test_a_real_name_goes_before_a_spelling() -> None:
    names = {"block": "Block", "block@2": "Other", "_export_root": "Block"}
    modules = {path: ModuleInfo(path=path, class_name=kind) for path, kind in {"": "Root", **names}.items()}
    read = StackReader(modules).read
    assert read([("block@2", "m.Other")]) == ("block@2",)
    assert read([("_export_root", "m.Block")]) == ("_export_root",)


def test_a_called_slice_of_a_sequential_is_no_module_of_the_model() -> None:
    read = reader(tail="Sequential", tail__0="Linear", tail__1="Linear").read
    frames = [
        ("", "m.Root"),
        ("tail.slice(1, None, None)", "x.Sequential"),
        ("tail.slice(1, None, None).1", "x.Linear"),
    ]
    assert read(frames) == ("", "tail.1")


def test_calls_are_counted_from_the_key_not_from_the_name() -> None:
    stack = {"L__self__": ("", "m.Root"), "L__self__a@1@2": ("a@1", "m.A"), "L__self__b@1": ("b@1", "m.B")}
    assert [(frame.path, frame.call) for frame in frames_of(stack)] == [("", 0), ("a@1", 2), ("b@1", 0)]


@pytest.mark.parametrize("stack", [None, {}, {"x": "y"}, {"x": ("a", "b", "c")}, {"x": (3, "m.A")}, {"x": ("p", "q")}])
def test_what_is_no_stack_has_no_frames(stack: object) -> None:
    assert frames_of(stack) == ()
