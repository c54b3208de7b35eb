"""A target's compiler is an ingredient by its code and version, a provider's library by what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from pytest_htp import Target
from pytest_htp.cache import Uncertain
from pytest_htp.cache.request import Request, difference
from pytest_htp.capture.models import resolve_model
from pytest_htp.exporter.options import ExportOptions


def ingredients(target: Target) -> dict[str, str]:
    return Request.of(resolve_model(nn.ReLU()), None, ExportOptions(targets=[target])).ingredients


@pytest.mark.parametrize("name", ["chip", "chips.compiler"])
def test_a_compiler_that_changed_is_another_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
    if file.parent != tmp_path:
        file.parent.mkdir()
        (file.parent / "__init__.py").touch()
    file.write_text("LACKS = ()\n")
    target = Target("chip", compiler=f"{name}:compile_graph")
    first = ingredients(target)
    assert difference(first, ingredients(target)) == ""
    file.write_text("LACKS = ('Gemm',)\n")
    assert difference(first, ingredients(target)) == "compiler of target chip changed"


def test_a_library_that_changed_is_another_one(tmp_path: Path) -> None:
    library = tmp_path / "libchip.so"
    library.write_bytes(b"one")
    target = Target("chip", library=str(library), provider="ChipExecutionProvider")
    first = ingredients(target)
    library.write_bytes(b"two")
    assert difference(first, ingredients(target)) == "library of target chip changed"


def test_a_compiler_without_source_is_not_decided() -> None:
    with pytest.raises(Uncertain, match="no_such_chip"):
        ingredients(Target("chip", compiler="no_such_chip:compile_graph"))
