"""Stages under pytest: recorded, compared, reported; also on workers, from the marker and from a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

TEST = """
import pytest
from net import X, make
from pytest_htp import Stage
from tool import tool

@pytest.mark.htp(stages=["ort:extended", "int8:dynamic"])
def test_marker(htp_export):
    export = htp_export(make(), X)
    assert list(export.stages) == ["ort:extended", "int8:dynamic"]

def test_call(htp_export):
    export = htp_export(make(), X, stages=["ort:basic", Stage("mine", tool)])
    assert export.stages["ort:basic"].coverage.coverage == 100
"""
TOOL = """
import shutil

def tool(source, destination):
    shutil.copy(source, destination)
"""
MANIFEST = """
[export.net]
model = "net:make"
inputs = {x = "float32[2, 3]"}
stages = ["ort:extended"]
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_recorded_compared_and_reported(tmp_path: Path, workers: tuple[str, ...]) -> None:
    example = project(tmp_path, TEST, tool=TOOL)
    example.run_pytest("--snapshot-update", *workers, outcomes={"passed": 2})
    run = example.run_pytest(*workers, outcomes={"passed": 2})
    assert run.touched_files == []
    names = {export["name"]: [stage["name"] for stage in export["stages"]] for export in run.exports}
    assert names == {"test_marker": ["ort:extended", "int8:dynamic"], "test_call": ["ort:basic", "mine"]}
    stored = [
        sorted(path.name for path in folder.glob("*.onnx")) for folder in example.folder.glob("htp-report/exports/*")
    ]
    assert ["model.int8-dynamic.onnx", "model.onnx", "model.ort-extended.onnx"] in stored


def test_a_stage_that_fails_is_named(tmp_path: Path) -> None:
    example = project(tmp_path, TEST, tool=TOOL)
    example.run_pytest("--snapshot-update", outcomes={"passed": 2})
    example.replace("tool.py", "shutil.copy(source, destination)", "raise RuntimeError('out of licences')")
    run = example.run_pytest(outcomes={"passed": 1, "failed": 1})
    (finding,) = [finding for finding in run.findings if finding["code"] == "stage.failed"]
    assert (finding["stage"], finding["verdict"]) == ("mine", "breaking")
    assert finding["message"] == "stage mine failed: RuntimeError: out of licences"
    assert run.changed_files == []


def test_manifest(tmp_path: Path) -> None:
    example = project(tmp_path, "")
    (example.folder / "models.htp.toml").write_text(MANIFEST)
    example.run_pytest("--snapshot-update", "models.htp.toml", outcomes={"passed": 1})
    run = example.run_pytest("models.htp.toml", outcomes={"passed": 1})
    assert [stage["name"] for stage in run.export["stages"]] == ["ort:extended"]
    (example.folder / "models.htp.toml").write_text(MANIFEST.replace("ort:extended", "ort:everything"))
    run = example.run_pytest("models.htp.toml", report=False)
    assert "stages must be a list of different stages among ort:basic" in run.stdout
