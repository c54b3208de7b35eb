"""A number that code, objects, files or the interpreter hold: another number, another key; or exported each time."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import onnxscript.optimizer._constant_folding
import pytest
import torch
from onnxscript.function_libs.torch_lib.registration import default_registry
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pytest_htp.cache import Uncertain, surroundings
from pytest_htp.cache.patches import Patches
from pytest_htp.cache.public import PublicNames
from tests.cache._sources import TOLD, TOLD_FILES, UNTOLD, UNTOLD_FILES, key_of_files, key_of_source


@pytest.mark.parametrize("kind", TOLD)
def test_a_number_in_code_or_an_object_is_told(kind: str) -> None:
    first, again, other = (key_of_source(TOLD[kind], number) for number in (1.25, 1.25, 2.75))
    assert first == again != other


@pytest.mark.parametrize("kind", TOLD_FILES)
def test_a_number_in_a_package_is_told(kind: str) -> None:
    first, again, other = (key_of_files(TOLD_FILES[kind], number) for number in (1.25, 1.25, 2.75))
    assert first == again != other


@pytest.mark.parametrize("kind", UNTOLD)
def test_what_hides_its_content_is_exported_each_time(kind: str) -> None:
    with pytest.raises(Uncertain):
        key_of_source(UNTOLD[kind], 1.25)


@pytest.mark.parametrize("kind", UNTOLD_FILES)
def test_what_reads_files_clocks_or_the_environment_is_exported_each_time(kind: str) -> None:
    with pytest.raises(Uncertain):
        key_of_files(UNTOLD_FILES[kind], 1.25)


def _other(*args: object) -> None: ...


# place of the patch → what is patched, and with what
PATCHES: dict[str, tuple[Any, Any]] = {
    "torch.onnx.export": (torch.onnx, mock.Mock()),
    "default_registry._registry.aten::gelu": (default_registry._registry, _other),
    "global_decomposition_table.pre_autograd.new": (torch._decomp.global_decomposition_table["pre_autograd"], _other),
    "ALL_ATTENTION_FUNCTIONS._local_mapping.sdpa": (ALL_ATTENTION_FUNCTIONS._local_mapping, _other),
    "AttentionInterface._global_mapping.sdpa": (
        type(ALL_ATTENTION_FUNCTIONS)._global_mapping,
        functools.partial(_other),
    ),
    "_constant_folding.DEFAULT_CONSTANT_FOLD_INPUT_SIZE_LIMIT": (onnxscript.optimizer._constant_folding, 7),
}


@pytest.mark.parametrize("place", PATCHES)
def test_what_is_put_into_the_toolchain_is_found(place: str) -> None:
    (owner, new), name = PATCHES[place], place.rpartition(".")[2]
    patches = Patches()
    before = patches.find()
    patched = mock.patch.dict(owner, {name: new}) if isinstance(owner, dict) else mock.patch.object(owner, name, new)
    with patched:
        found = patches.find()
        assert [found[key] for key in found.keys() - before.keys() if key.endswith(place)]
        assert Patches().find().keys() == found.keys()
    assert patches.find().keys() == before.keys()


def test_a_public_name_of_torch_that_stands_for_another_of_its_functions() -> None:
    names = PublicNames()
    before = names.digest()
    for owner, name, new in (
        (torch, "relu", torch.sigmoid),
        (torch.Tensor, "relu", torch.Tensor.sigmoid),
        (torch.onnx, "export", functools.partial(torch.onnx.export, optimize=False)),
    ):
        with mock.patch.object(owner, name, new):
            assert names.digest() != before
        assert names.digest() == before == PublicNames().digest()


def test_other_code_of_an_operator_of_torch() -> None:
    surroundings.settings()
    library = torch.library.Library("aten", "IMPL")
    library.impl("sigmoid", lambda x: x, "AutogradCPU")
    try:
        with pytest.raises(Uncertain, match="aten/sigmoid/AutogradCPU"):
            surroundings.settings()
    finally:
        library._destroy()
    surroundings.settings()
