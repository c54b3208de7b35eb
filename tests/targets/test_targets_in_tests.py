"""``targets=`` in a test: fixture, marker, ini, hook, manifest and command line, also under xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_examples import project

from pytest_htp.cli import main

pytest.importorskip("onnxruntime", reason="the targets' own runtime: pip install 'pytest-htp[parity]'")

TEST = """
import pytest
from net import X, make

@pytest.mark.htp(targets=["cpu", "chip"], parity=False)
def test_net(htp_export):
    export = htp_export(make(), X)
    assert export.targets["cpu"].share == 100
    assert export.targets["chip"].placement["act"] == {"CHIP": 1}
"""
SHORT = """
from net import X, make

def test_net(htp_export):
    htp_export(make(), X, targets=["chip"], parity=False)
"""
CONFTEST = """
from pytest_htp import Target

def pytest_htp_targets():
    return [Target("chip", compiler="chip:compile_graph", options={"device": "CHIP"})]
"""
CHIP = """
import onnx
from pytest_htp.targets.messages import CompileAnswer, CompiledNode

LACKS = ()

def compile_graph(request):
    nodes = onnx.load(request.model).graph.node
    if "everything" in LACKS:
        import os
        print("out of tiles", flush=True)
        os.abort()
    placed = [
        CompiledNode(names=[node.name], op_type=node.op_type, device="CPU" if node.op_type in LACKS else "CHIP")
        for node in nodes
    ]
    return CompileAnswer(outcome="compiled", device="CHIP", nodes=placed, partitions=1 + bool(LACKS))
"""


@pytest.mark.slow  # four exports
def test_placement_is_part_of_the_baseline(tmp_path: Path) -> None:
    example = project(tmp_path, TEST).write({"conftest.py": CONFTEST, "chip.py": CHIP})
    run = example.run_pytest("--snapshot-update", outcomes={"passed": 1})
    assert [target["name"] for target in run.export["targets"]] == ["cpu", "chip"]
    assert [target["device"] for target in example.baseline["targets"]] == ["CPU", "CHIP"]

    example.replace("chip.py", "LACKS = ()", 'LACKS = ("Gemm", "MatMul", "Add")')
    example.replace("test_net.py", '    assert export.targets["chip"].placement["act"] == {"CHIP": 1}\n', "")
    run = example.run_pytest(outcomes={"failed": 1})
    assert {(finding["code"], finding["stage"]) for finding in run.findings} == {
        ("placement.moved", "chip"), ("placement.split", "chip")
    }  # fmt: skip

    example.replace("chip.py", '("Gemm", "MatMul", "Add")', '("everything",)')
    run = example.run_pytest(outcomes={"failed": 1})
    assert {(finding["code"], finding["verdict"]) for finding in run.findings} == {("target.failed", "breaking")}
    assert (
        "no longer compiles for chip: the compiler's process died of SIGABRT; its last words: out of tiles"
        in (run.findings[0]["message"])
    )
    assert example.run_pytest("--snapshot-update", outcomes={"failed": 1}).touched_files == []


def test_the_time_limit_is_an_ini_setting(tmp_path: Path) -> None:
    slow = "import time\n\ndef compile_graph(request):\n    time.sleep(60)\n"
    example = project(tmp_path, TEST).write(
        {
            "conftest.py": CONFTEST,
            "chip.py": slow,
            "test_net.py": SHORT,
            "pytest.ini": "[pytest]\nhtp_target_timeout = 3\n",
        }
    )
    run = example.run_pytest(outcomes={"failed": 1})
    assert "did not finish within 3 s (htp_target_timeout)" in " ".join(run.stdout.split())
    example.write({"pytest.ini": "[pytest]\nhtp_target_timeout = soon\n"})
    refused = example.run_pytest()
    assert "htp_target_timeout must be a number of seconds" in refused.stderr


@pytest.mark.slow
def test_workers_of_xdist_compile_as_well(tmp_path: Path) -> None:
    example = project(tmp_path, TEST).write({"conftest.py": CONFTEST, "chip.py": CHIP})
    example.run_pytest("--snapshot-update", "-n", "2", outcomes={"passed": 1}, subprocess=True)
    run = example.run_pytest("-n", "2", outcomes={"passed": 1}, subprocess=True)
    assert run.findings == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("qpu", "unknown target 'qpu'"),
        ("qnn:htp_arch", "write NAME:KEY=VALUE"),
        ("qnn:htp_arch=7", "must be one of 68, 69, 73, 75, 79, 81, got '7'"),
    ],
)
def test_htp_export_refuses_a_target_it_does_not_know(
    given: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "fixtures.plain:MLP", "-o", str(tmp_path / "out"), "--target", given]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
