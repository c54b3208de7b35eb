"""``htp export``: the same engine outside of pytest; exit codes and one clear message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from htp_examples import NET
from onnx import numpy_helper

from pytest_htp.cli import main

INPUT = "x=float32[batch=2, 3]"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``zoo_of_export.py``; what a test imports of it is forgotten afterwards."""
    wrong = "\ndef number():\n    return 3\n\ndef raises():\n    return Raises()\n"
    (tmp_path / "zoo_of_export.py").write_text(NET + wrong, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "zoo_of_export", raising=False)
    return tmp_path


def test_export(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--opset", "20", "--inputs", INPUT]
    assert main(["export", "zoo_of_export:make", "-o", "out/net", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"model     {Path('out/net/model.onnx')}",
        f"metadata  {Path('out/net/model_htp_metadata.json')}",
        f"report    {Path('out/net/model_htp_export_report.txt')}",
        f"console   {Path('out/net/model_htp_console.log')}",
    ]
    assert lines[4] == "coverage  100% of 3 nodes, direct 100%"
    assert lines[5] == "parity    within tolerance"
    model = onnx.load(project / "out/net/model.onnx")
    assert model.opset_import[0].version == 20
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert all(Path(line.split(maxsplit=1)[1]).is_file() for line in lines[:4])


def test_targets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """QNN's compiler takes no node with a dynamic axis."""
    pytest.importorskip(
        "onnxruntime_qnn", reason="compiles with QNN (wheels for Linux and Windows): pip install 'pytest-htp[qnn]'"
    )
    arguments = ["export", "zoo_of_export:make", "-o", "out", "--no-parity", "--target", "cpu"]
    fixed = ["--target", "qnn:htp_arch=79,soc_model=69", "--inputs", "x=float32[2, 3]"]
    assert main([*arguments, *fixed]) == 0
    out = capsys.readouterr().out
    assert "target    cpu: compiled, 100% of 3 nodes on CPU in 1 partition\n" in out
    assert "target    qnn: compiled, 100% of 3 nodes on QNN in 1 partition\n" in out
    assert main([*arguments, "--dynamic", "--target", "qnn", "--inputs", INPUT]) == 1
    out = capsys.readouterr().out
    assert "target    qnn: does not compile: QNN takes no node of this graph" in out
    assert "refuse dynamic axes (of x): export with fixed sizes" in out


def test_structure_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", "none", "--dynamic", "--inputs", INPUT]
    assert main(["export", "zoo_of_export:make", "-o", "out", *arguments]) == 0
    assert "parity    not measured: the export has no weights" in capsys.readouterr().out


def test_calibration(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ranges of two files together: x from -8 to 247 in 255 steps."""
    for name, value in (("low", -8), ("high", 247)):
        np.savez(project / f"{name}.npz", x=np.full((2, 3), value, np.float32))
    arguments = ["export", "zoo_of_export:make", "-o", "out", "--no-parity", "--inputs", INPUT, "--stage", "int8:qdq"]
    assert main([*arguments, "--calibration", "low.npz", "high.npz"]) == 0
    graph = onnx.load(project / "out/model.int8-qdq.onnx").graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    [first] = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "x"]
    assert [values[name].item() for name in first.input[1:]] == [1.0, 8]
    np.savez(project / "other.npz", y=np.ones((2, 3), np.float32))
    assert main([*arguments, "--calibration", "low.npz", "--calibration", "other.npz"]) == 1
    assert "stage int8:qdq failed: calibration, set 2: " in capsys.readouterr().out


def test_a_failed_step_exits_with_1_and_leaves_no_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "zoo_of_export:raises", "-o", "out", "--inputs", INPUT]) == 1
    message = capsys.readouterr().err
    assert message.startswith("htp export: export of Raises failed in step 3/8 (hierarchy building)")
    assert "Traceback" not in message
    assert not (project / "out/model.onnx").exists()
    assert (project / "out/model_htp_export_report.txt").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "model 'nosuch': no such folder; give the folder of a saved model"),
        (["zoo_of_exports:make"], "model 'zoo_of_exports:make': there is no module"),
        (["zoo_of_export:mkae"], "model 'zoo_of_export:mkae': zoo_of_export has no 'mkae', did you mean"),
        (["zoo_of_export:number"], "export of the model failed in step 1/8"),
        (["zoo_of_export:make"], "export of Net failed in step 2/8 (input generation): Net is no"),
        (["zoo_of_export:make", "--inputs", "x"], "--inputs 'x': write NAME=SPEC"),
        (["zoo_of_export:make", "--inputs", "x=float3[2]"], "--inputs: input 'x': bad input description"),
        (["zoo_of_export:make", "--inputs", INPUT, "--inputs", INPUT], "--inputs: 'x' is given twice"),
        (["zoo_of_export:make", "--calibration", "no.npz"], "--calibration no.npz can't be read: No such file"),
        (["zoo_of_export:make", "--calibration", "zoo_of_export.py"], "--calibration zoo_of_export.py must be an .npz"),
        (["zoo_of_export:make", "--calibration", "numbers.npy"], "--calibration numbers.npy must be an .npz file with"),
        (["zoo_of_export:make", "--calibration", "x.npz"], "option calibration is for the stage 'int8:qdq', which is"),
        (["zoo_of_export:make", "-o", "zoo_of_export.py"], "zoo_of_export.py can't be made: File exists"),
    ],
    ids=["folder", "module", "name", "no model", "no inputs", "input", "description", "twice", "no file", "text",
         "one array", "no stage", "output"],
)  # fmt: skip
def test_bad_input_exits_with_2(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    np.save(project / "numbers.npy", np.ones(3))
    np.savez(project / "x.npz", x=np.ones((2, 3), np.float32))
    assert main(["export", arguments[0], "-o", "out", *arguments[1:]]) == 2
    assert capsys.readouterr().err.startswith(f"htp export: {message}")


@pytest.mark.parametrize("opset", ["6", "x", "101", "18.0", "9" * 30])
def test_a_bad_opset(opset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "m", "-o", "out", "--opset", opset]) == 2
    assert f"must be a whole number from 7 to 100, got '{opset}'" in capsys.readouterr().err


def test_bad_arguments_are_told_before_torch_is_imported(project: Path) -> None:
    code = (
        "import sys; from pytest_htp.cli import main;"
        "print(main(['export', 'nosuch', '-o', 'out']), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
