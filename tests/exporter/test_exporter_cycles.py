"""Objects that exist already are set aside while an export runs, and taken back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
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
    """Notes how many objects are set aside while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add(gc.get_freeze_count())
        return x * 2


@pytest.mark.usefixtures("nothing_set_aside")
def test_what_exists_is_set_aside_for_an_export_and_taken_back(tmp_path: Path) -> None:
    model = Asks()
    HTPExporter(exporter="torch").export(model, (torch.ones(2),), tmp_path / "m.onnx")
    assert model.seen
    assert min(model.seen) > 10_000  # torch's alone
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("nothing_set_aside")
def test_what_a_user_set_aside_stays(tmp_path: Path) -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    model = Asks()
    HTPExporter(exporter="torch").export(model, (torch.ones(2),), tmp_path / "m.onnx")
    assert max(model.seen) <= before
    assert 0 < gc.get_freeze_count() <= before
