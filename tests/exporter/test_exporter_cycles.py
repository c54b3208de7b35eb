"""Objects that exist already are set aside while an export runs, and taken back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pytest_htp import HTPExporter


@pytest.fixture
def nothing_set_aside() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


class Asks(torch.nn.Module):
    """Notes how many objects are set aside while it runs (what it keeps itself is put back after an export)."""

    def __init__(self, note: Callable[[int], None]) -> None:
        super().__init__()
        self._note = note

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._note(gc.get_freeze_count())
        return x * 2


@pytest.mark.usefixtures("nothing_set_aside")
def test_what_exists_is_set_aside_for_an_export_and_taken_back(tmp_path: Path) -> None:
    seen: list[int] = []
    model = Asks(seen.append)
    HTPExporter(exporter="torch").export(model, (torch.ones(2),), tmp_path / "m.onnx")
    assert min(seen) > 10_000  # torch's alone
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("nothing_set_aside")
def test_what_a_user_set_aside_stays(tmp_path: Path) -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    seen: list[int] = []
    model = Asks(seen.append)
    HTPExporter(exporter="torch").export(model, (torch.ones(2),), tmp_path / "m.onnx")
    assert max(seen) <= before
    assert 0 < gc.get_freeze_count() <= before
