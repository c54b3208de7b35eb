"""What counts as put into the toolchain by somebody: not what a library made of its own classes, whenever it did."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any
from unittest import mock

import pytest
import torch
import transformers
from onnxscript.function_libs.torch_lib.registration import default_registry, torch_op

from pytest_htp.cache.patches import Patches


def names() -> list[str]:
    """Found by a new look."""
    return list(Patches().find())


def test_models_that_were_loaded_meanwhile_are_no_patches() -> None:
    patches = Patches()
    before = patches.find()
    transformers.BltConfig, transformers.CLIPConfig  # noqa: B018 - loaded when asked for
    assert patches.find().keys() == before.keys()
    assert not [name for name in names() if "configuration_" in name]


def test_what_torch_compiles_with_is_no_patch() -> None:
    """A model with a scan loads it. Its classes hold locks, whose content is nobody's to tell: nothing would be cached
    or shared any more."""
    patches = Patches()
    before = patches.find()
    importlib.import_module("torch._inductor.codegen.triton")
    assert patches.find().keys() == before.keys()
    assert not [name for name in names() if "_inductor" in name]


def test_a_patched_init_of_a_strict_dataclass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    original = transformers.ViTConfig.__init__

    @functools.wraps(original)
    def patched(self: Any, **values: Any) -> None:
        original(self, **{**values, "hidden_size": 8})

    name = "transformers.models.vit.configuration_vit.ViTConfig.__init__"
    assert name not in names()
    with monkeypatch.context() as patch:
        patch.setattr(transformers.ViTConfig, "__init__", patched)
        assert name in names()
    scope: dict[str, Any] = {"original": original}
    exec("def patched(self, **values): original(self, **values)", scope)
    with monkeypatch.context() as patch:
        patch.setattr(transformers.ViTConfig, "__init__", scope["patched"])
        assert name in names()
    with monkeypatch.context() as patch:
        patch.setattr(original, "__wrapped__", patched)  # below a wrapper of the library
        assert name in names()


def forward(self: Any, given: torch.Tensor) -> torch.Tensor:
    """Another one for a linear layer."""
    return given


@pytest.mark.parametrize("how", ["name", "code", "beside a counter", "in a new table"])
def test_a_later_look_finds_what_was_put_in_since_and_no_more_once_it_is_gone(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = Patches()
    before = patches.find().copy()
    layer = torch.nn.modules.linear
    with monkeypatch.context() as patch:
        if how == "name":
            patch.setattr(torch.nn.Linear, "forward", forward)
        elif how == "code":  # the function is the library's own as before
            patch.setattr(torch.nn.Linear.forward, "__code__", forward.__code__)
        elif how == "beside a counter":  # one name of a module that exporting changes each time, and one that is code
            patch.setattr(layer, "counter", 1, raising=False)
            assert patches.find().keys() == before.keys()
            patch.setattr(layer, "counter", 2)
            patch.setattr(layer, "forward", forward, raising=False)
        else:
            patch.setattr(layer, "table", {"linear": forward}, raising=False)
        assert sorted(patches.find().keys() - before.keys()) == sorted(set(names()) - before.keys()) != []
    assert patches.find().keys() == before.keys()


def test_what_was_compiled_for_torch_s_own_functions_is_no_patch() -> None:
    """Outside of exports dynamo compiles ``torch.cond``, and puts the result into the module of that function."""
    torch.cond(torch.tensor(True), lambda x: x + 1, lambda x: x - 1, (torch.ones(2),))
    assert any(name.startswith("__compiled_fn_") for name in vars(sys.modules["torch._higher_order_ops.cond"]))
    assert not any("__compiled_fn_" in name for name in names())


def test_a_function_put_beside_a_librarys_objects_is_found_by_a_later_look() -> None:
    importlib.import_module("onnxscript.function_libs.torch_lib.ops")  # its registry is full before the first look
    patches = Patches()
    before = patches.find()
    with mock.patch.dict(default_registry._registry, {"aten::gelu": forward}):
        (key,) = patches.find().keys() - before.keys()
        assert key.endswith("default_registry._registry.aten::gelu")
    assert patches.find() == before


def doubled(given):  # type: ignore[no-untyped-def]  # onnxscript reads annotations as ONNX's types
    return given + given


def test_a_translation_registered_with_onnxscript_is_found() -> None:
    patches = Patches()
    before = patches.find()
    with mock.patch.dict(default_registry._registry):
        translation = torch_op("net::double", trace_only=True)(doubled)
        assert patches.find() == {**before, "translation of net::double": doubled}
        assert translation.func is doubled
    assert patches.find() == before
