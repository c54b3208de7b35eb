"""Ini ``htp_quality_tolerance``, marker and call ``quality_tolerance``: by how much a stage's SQNR may move."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project, recorded

from pytest_htp.testing import Example

TEST = """
import pytest
from net import X, make
from pytest_htp import Stage
from tool import tool

{marker}
def test_net(htp_export):
    htp_export(make(), X, stages=[Stage("tool", tool)]{call})
"""
# Rounds the weights of the last layer to steps of a given size: the coarser, the farther from PyTorch.
TOOL = """
import onnx
from onnx import numpy_helper

STEP = 0.0001

def tool(source, destination):
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.name == "last.weight":
            values = (numpy_helper.to_array(tensor) / STEP).round() * STEP
            tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))
    onnx.save(model, destination)
"""


POLICY = "htp_policy = parity.failed:ignore"
MARKER = "@pytest.mark.htp(quality_tolerance=3)"


def coarser(folder: Path) -> Example:
    """A project whose tool rounds more coarsely than when the baselines were made."""
    example = recorded(folder, TEST.format(marker="", call=""), tool=TOOL)
    return example.replace("tool.py", "STEP = 0.0001", "STEP = 0.002").write({"pytest.ini": f"[pytest]\n{POLICY}\n"})


def test_precedence(tmp_path: Path) -> None:
    example = coarser(tmp_path)
    found = example.run_pytest(outcomes={"failed": 1}).findings
    assert [(finding["code"], finding["module"], finding["stage"]) for finding in found] == [
        ("quality.worse", "last", "tool")
    ]
    example.write({"pytest.ini": f"[pytest]\n{POLICY}\nhtp_quality_tolerance = 60\n"})
    example.write({"test_net.py": TEST.format(marker=MARKER, call="")})
    assert example.run_pytest(outcomes={"failed": 1}).codes == {"quality.worse"}
    example.write({"test_net.py": TEST.format(marker=MARKER, call=", quality_tolerance=60")})
    assert example.run_pytest(outcomes={"passed": 1}).findings == []


def test_the_ini_file_holds_on_workers(tmp_path: Path) -> None:
    example = coarser(tmp_path).write({"pytest.ini": f"[pytest]\n{POLICY}\nhtp_quality_tolerance = 60\n"})
    assert example.run_pytest("-n", "2", outcomes={"passed": 1}).findings == []


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf"])
def test_a_bad_value_in_the_ini_file_is_a_usage_error(tmp_path: Path, value: str) -> None:
    example = project(tmp_path, "def test_a(): pass\n").write(
        {"pytest.ini": f"[pytest]\nhtp_quality_tolerance = {value}\n"}
    )
    run = example.run_pytest(report=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"htp_quality_tolerance must be a number of dB from 0, got '{value}'" in run.stderr


def test_a_bad_value_in_a_call_fails_the_test(tmp_path: Path) -> None:
    test = 'from net import X, make\ndef test_net(htp_export):\n    htp_export(make, X, quality_tolerance="x")\n'
    run = project(tmp_path, test).run_pytest(report=False, outcomes={"failed": 1})
    assert "quality_tolerance must be a number of dB from 0, got 'x'" in run.stdout


# Makes the weights of the last layer larger by a given part: 20 times its logarithm is what SQNR loses.
LARGER = """
import onnx
from onnx import numpy_helper

PART = 0.0003

def tool(source, destination):
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.name == "last.weight":
            values = numpy_helper.to_array(tensor) * (1 + PART)
            tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))
    onnx.save(model, destination)
"""


def stored_with(example: Example, part: str) -> bytes:
    """The baseline after an update with a tool that is so far off."""
    example.write({"tool.py": LARGER.replace("0.0003", part)})
    example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    (path,) = example.baseline_paths
    return example.files[path]


def test_an_update_leaves_a_number_that_moved_by_a_step(tmp_path: Path) -> None:
    """As on another machine: recorded there it is another number, here it is the stored one."""
    test = TEST.format(marker="", call="")
    policy = {"pytest.ini": f"[pytest]\n{POLICY}\n"}
    example = project(tmp_path / "here", test).write(policy)
    first = stored_with(example, "0.0003")
    fresh = stored_with(project(tmp_path / "there", test).write(policy), "0.0004")
    assert fresh != first
    assert stored_with(example, "0.0004") == first
    run = example.run_pytest(outcomes={"passed": 1})
    assert run.export["baseline_status"] == "unchanged"
    assert (example.folder / "htp-report" / run.export["artifacts"] / "baseline.json").read_bytes() == first
    assert stored_with(example, "0.0009") != first
