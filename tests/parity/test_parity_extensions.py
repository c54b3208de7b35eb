"""Operators of other domains are run by the library that registers them with ONNX Runtime, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError, HTPUsageError, Stage


class Inverse(nn.Module):
    """``ai.onnx.contrib::Inverse``, of the package onnxruntime-extensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_exporting():
            return torch.linalg.inv(x)
        return torch.onnx.ops.symbolic("ai.onnx.contrib::Inverse", [x], dtype=x.dtype, shape=x.shape, version=1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.inverse = nn.Linear(3, 3), Inverse()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inverse(self.linear(x)))


COPY = Stage("copy", lambda source, destination: destination.write_bytes(source.read_bytes()) and None)
INPUTS = (torch.eye(3) * 2 + torch.arange(9).reshape(3, 3) / 10,)


def test_a_registered_library_is_used(tmp_path: Path) -> None:
    library = pytest.importorskip(
        "onnxruntime_extensions",
        reason="a real library of operators: pip install onnxruntime-extensions (in the extra dev)",
    ).get_library_path()
    made = HTPExporter(ort_extensions=[library], stages=[COPY, "ort:basic"]).export(Net(), INPUTS, tmp_path / "m.onnx")
    assert made.parity.measured
    assert not made.parity.failed
    assert {"linear", "inverse"} <= set(made.parity.modules)
    assert made.stages["copy"].parity.measured
    assert made.stages["ort:basic"].parity.measured


def test_without_it_the_remedy_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(HTPExportError, match=r"(?s)inverse.*ort_extensions=\[path\]"):
        HTPExporter().export(Net(), INPUTS, tmp_path / "m.onnx")


def test_what_is_no_library(tmp_path: Path) -> None:
    with pytest.raises(HTPUsageError, match=r"list of paths of libraries, got 'lib\.so'"):
        HTPExporter(ort_extensions="lib.so")
    with pytest.raises(HTPUsageError, match=r"there is no library 'missing\.so'"):
        HTPExporter(ort_extensions=["missing.so"])
    other = tmp_path / "other.so"
    other.write_bytes(b"no library")
    with pytest.raises(HTPExportError, match=r"ort_extensions: onnxruntime can't register '.*other\.so'"):
        HTPExporter(ort_extensions=[other]).export(nn.Linear(2, 2), (torch.ones(1, 2),), tmp_path / "m.onnx")
