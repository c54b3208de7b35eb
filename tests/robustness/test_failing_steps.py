"""Every step can fail: one clear message, evidence kept, model and process as before, the next one fine."""

from __future__ import annotations

import json
import logging
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from htp_failing_models import FAILURES, Failure, Net
from torch import nn

from pytest_htp import HTPExporter, HTPExportError, HTPExportStep

STEPS = [step.value for step in HTPExportStep]


def process_state() -> dict[str, Any]:
    """What an export must not change in the process."""
    return {
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "random": torch.get_rng_state().tolist(),
        "python random": random.getstate(),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "handlers": list(logging.root.handlers),
        "loggers": {
            name: (logging.getLogger(name).level, logging.getLogger(name).propagate)
            for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
        },
        "stdout": sys.stdout,
        "functions": {
            name: value
            for owner in (torch, torch.nn.functional)
            for name, value in vars(owner).items()
            if callable(value)
        },
    }


def model_state(model: nn.Module) -> dict[str, Any]:
    """What an export must not change in the model."""
    return {
        "training": [module.training for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "hooks": [(list(module._forward_hooks), list(module._forward_pre_hooks)) for module in model.modules()],
        "parameters": [(name, id(value), value._version) for name, value in model.named_parameters()],
        "buffers": [(name, id(value), value.tolist()) for name, value in model.named_buffers()],
    }


@pytest.fixture(scope="module", autouse=True)
def warmed_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the first export imports replaces functions of torch for good."""
    HTPExporter().export(Net(), torch.ones(2, 3), tmp_path_factory.mktemp("warm") / "model.onnx")


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_a_failing_step(failure: Failure, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = failure.make()
    is_module = isinstance(model, nn.Module)
    if is_module:
        model.train()
        model.first.eval()
    before = model_state(model) if is_module else None
    process = process_state()
    with failure.broken(), pytest.raises(HTPExportError) as info:
        HTPExporter(**failure.options).export(model, failure.inputs, path)
    assert process_state() == process
    if is_module:
        assert model_state(model) == before

    error = info.value
    assert error.step.value == failure.step
    assert f"failed in step {error.step.number}/8 ({error.step.title})" in str(error)
    for words in failure.says:
        assert words in str(error)
    assert len(str(error).splitlines()) <= 12
    assert error.__cause__ is error.cause

    # Nothing half-written; what is known says which step failed, and that the later ones were skipped.
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"model_htp_console.log", "model_htp_export_report.txt", "model_htp_metadata.json"}
    position = STEPS.index(failure.step)
    statuses = [error.data.steps[step]["status"] for step in STEPS]
    assert statuses == ["completed"] * position + ["failed"] + ["skipped"] * (7 - position)
    metadata = json.loads((tmp_path / "model_htp_metadata.json").read_text(encoding="utf-8"))
    report = (tmp_path / "model_htp_export_report.txt").read_text(encoding="utf-8")
    assert failure.step in json.dumps(metadata)
    assert error.data.errors
    assert error.data.errors[-1]["step"] == failure.step
    assert error.step.title.lower() in report.lower()
    assert "failed" in report.lower()
    if position > STEPS.index("hierarchy_building") and is_module:
        assert error.data.hierarchy["first"].executed, "what earlier steps found is kept"


def test_after_all_these_an_export_works(tmp_path: Path) -> None:
    export = HTPExporter().export(Net(), torch.ones(2, 3), tmp_path / "model.onnx")
    assert export.parity.measured
    assert export.coverage.coverage == 100


def test_a_file_that_was_there_before_is_not_taken_for_the_result(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"an earlier export")
    failing = next(failure for failure in FAILURES if failure.name == "forward raises")
    with pytest.raises(HTPExportError):
        HTPExporter().export(failing.make(), failing.inputs, path)
    assert not path.exists()


@pytest.mark.parametrize("place", ["a folder", "below a file", "a device folder"])
def test_output_paths_that_cant_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    path = {
        "a folder": tmp_path,
        "below a file": tmp_path / "file" / "model.onnx",
        "a device folder": Path("/proc/nowhere/model.onnx"),
    }[place]
    with pytest.raises(HTPExportError) as info:
        HTPExporter(parity=False).export(Net(), torch.ones(2, 3), path)
    assert info.value.step is HTPExportStep.SAVE
    assert (tmp_path / "file").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
