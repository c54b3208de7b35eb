"""The exports that the tests of this folder share; they must not change them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from htp_staged import PIPELINES, handed_on, make, run_on

from pytest_htp import HTPExport, HTPExporter
from pytest_htp.exporter.exported import Exported
from pytest_htp.exporter.staging import StagesResult
from pytest_htp.parity.result import ParityResult


@pytest.fixture(scope="session")
def handed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, ParityResult]:
    return handed_on(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def staged(handed: tuple[Exported, ParityResult], tmp_path: Path) -> Callable[..., StagesResult]:
    """Runs stages on a copy of the exported file in ``tmp_path``."""

    def run(stages: list[Any], *, parity: ParityResult = handed[1], **changes: Any) -> StagesResult:
        return run_on(handed[0], parity, tmp_path, stages, **changes)

    return run


@pytest.fixture(scope="session")
def pipelines(
    handed: tuple[Exported, ParityResult], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, StagesResult]:
    """Every pipeline of ``htp_staged.PIPELINES``, run on one model."""
    return {name: run_on(*handed, tmp_path_factory.mktemp(name), stages) for name, stages in PIPELINES.items()}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> HTPExport:
    """A whole export with two stages."""
    model, x = make()
    folder = tmp_path_factory.mktemp("whole")
    return HTPExporter(stages=["int8:qdq", "ort:extended"]).export(model, x, folder / "model.onnx")
