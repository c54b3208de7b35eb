"""Baselines of targets are equal to the byte: in another order, another process, with another number of threads."""

from __future__ import annotations

from pathlib import Path

import pytest
from htp_wheels import OPENVINO, QNN

from fixtures import config_dir
from pytest_htp.testing import Example

pytest.importorskip("onnxruntime", reason="the targets' own runtime: pip install 'pytest-htp[parity]'")

TARGETS = ["cpu", "qnn", "openvino"]
FAMILIES = """
import pytest

@pytest.mark.parametrize("folder", [{folders}], ids=lambda folder: folder.rpartition("/")[2])
def test_family(htp_export, folder):
    htp_export(folder, stages=["int8:qdq"], targets={targets})
"""
# Nodes on two devices, some of them made of a body: Mish is no operator of QNN's provider nor of the CPU's, Erf is
# the CPU's alone.
MIXED = """
import torch
from torch import nn

class Odd(nn.Module):
    def forward(self, x):
        return torch.erf(nn.functional.mish(x))

def test_mixed(htp_export):
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), Odd()) for _ in range(3)))
    htp_export(net, torch.ones(1, 4, 8, 8), targets={targets})
"""
ORDERS = [
    (("test_family.py", "test_mixed.py"), "1"),
    (("test_mixed.py", "test_family.py"), "2"),
    (("-n", "2", "test_family.py", "test_mixed.py"), "2"),
]


@QNN
@OPENVINO
@pytest.mark.slow  # nine exports and their compiles
def test_orders_processes_and_threads_write_the_same(tmp_path: Path) -> None:
    folders = ", ".join(repr(str(config_dir(name))) for name in ("bert", "resnet"))
    files = {
        "test_family.py": FAMILIES.format(folders=folders, targets=TARGETS),
        "test_mixed.py": MIXED.format(targets=TARGETS),
    }
    baselines = []
    for number, (arguments, threads) in enumerate(ORDERS):
        example = Example(files, folder=tmp_path / str(number) / "project")
        variables = {"OMP_NUM_THREADS": threads}
        example.run_pytest(
            "--snapshot-update", *arguments, env=variables, subprocess=True, report=False, outcomes={"passed": 3}
        )
        baselines.append({name: text for name, text in example.files.items() if "__htp_baselines__" in name})
        again = example.run_pytest(*arguments[::-1][:1], env=variables, subprocess=True)
        assert again.findings == []
    assert len(baselines[0]) == 3
    assert baselines[0] == baselines[1] == baselines[2]
