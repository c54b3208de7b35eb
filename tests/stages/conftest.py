"""The exports that the tests of this folder share; they must not change them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from htp_staged import make, request_of

from pytest_htp import HTPExport, HTPExporter
from pytest_htp.exporter.staging import StagesRequest, StagesResult, run_stages


@pytest.fixture(scope="session")
def request_(tmp_path_factory: pytest.TempPathFactory) -> StagesRequest:
    return request_of(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def staged(request_: StagesRequest, tmp_path: Path) -> Callable[..., StagesResult]:
    """Runs stages on a copy of the exported file in ``tmp_path``."""

    def run(stages: list[Any], **changes: Any) -> StagesResult:
        path = tmp_path / "model.onnx"
        shutil.copy(request_.path, path)
        return run_stages(replace(request_, stages=stages, path=path, **changes))

    return run


@pytest.fixture(scope="session")
def pipelines(request_: StagesRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StagesResult]:
    """Every pipeline of ``htp_staged.PIPELINES``, run on one model."""
    from htp_staged import PIPELINES

    results = {}
    for name, stages in PIPELINES.items():
        path = tmp_path_factory.mktemp(name) / "model.onnx"
        shutil.copy(request_.path, path)
        results[name] = run_stages(replace(request_, stages=stages, path=path))
    return results


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> HTPExport:
    """A whole export with two stages."""
    model, x = make()
    folder = tmp_path_factory.mktemp("whole")
    return HTPExporter(stages=["int8:qdq", "ort:extended"]).export(model, x, folder / "model.onnx")
