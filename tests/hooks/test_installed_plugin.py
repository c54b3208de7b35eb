"""A package that pip installed brings a target by its entry point: no conftest, no ``-p``."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from htp_examples import project

pytest.importorskip("onnxruntime", reason="the targets' own runtime: pip install 'pytest-htp[parity]'")

PLUGIN = """
from pytest_htp import Target

def pytest_htp_targets():
    return [Target("acme", compiler="acme_htp.compiler:compile_graph", options={"tiles": 4}, package="acme_htp")]
"""
COMPILER = """
import onnx
from pytest_htp.errors import HTPUsageError
from pytest_htp.targets.messages import CompileAnswer, CompiledNode

def compile_graph(request):
    if set(request.options) != {"tiles"}:
        raise HTPUsageError(f"acme has no option {sorted(set(request.options) - {'tiles'})}")
    nodes = onnx.load(request.model, load_external_data=False).graph.node
    placed = [
        CompiledNode(names=[node.name], op_type=node.op_type, device="CPU" if node.op_type == "Erf" else "ACME")
        for node in nodes
    ]
    return CompileAnswer(outcome="compiled", device="ACME", nodes=placed, partitions=1)
"""
FILES = {
    "acme_htp/__init__.py": "",
    "acme_htp/plugin.py": PLUGIN,
    "acme_htp/compiler.py": COMPILER,
    "acme_htp-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-htp\nVersion: 1.0\n",
    "acme_htp-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "acme_htp-1.0.dist-info/entry_points.txt": "[pytest11]\nacme_htp = acme_htp.plugin\n",
}
TEST = """
from net import X, make

def test_net(htp_export):
    export = htp_export(make(), X, targets=TARGETS)
    assert export.targets["acme"].placement["first"] == {"ACME": 1}
"""


def installed(folder: Path) -> Path:
    """Where pip put a wheel of these files."""
    wheel = folder / "acme_htp-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
        archive.writestr("acme_htp-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in FILES))
    site = folder / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    return site


@pytest.mark.slow  # two processes with torch
def test_an_installed_package_adds_a_target(tmp_path: Path) -> None:
    path = {"PYTHONPATH": f"{installed(tmp_path)}:{Path(__file__).parents[2]}"}
    example = project(tmp_path / "project", TEST.replace("TARGETS", '["cpu", "acme"]'))
    example.run_pytest("--snapshot-update", env=path, subprocess=True, outcomes={"passed": 1})
    (cpu, acme) = example.baseline["targets"]
    assert (cpu["name"], acme["name"], acme["device"], acme["options"]) == ("cpu", "acme", "ACME", {"tiles": "4"})

    example.replace("test_net.py", '["cpu", "acme"]', '{"acme": {"tile": 2}}')
    run = example.run_pytest(env=path, subprocess=True, outcomes={"failed": 1})
    assert "acme has no option ['tile']" in run.stdout

    run = example.run_pytest(subprocess=True, outcomes={"failed": 1})
    assert "unknown target 'acme'" in run.stdout
