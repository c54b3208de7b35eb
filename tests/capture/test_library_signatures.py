"""The exporter's function library is read once, and what comes out is the same."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter
from pytest_htp.capture.engines.torchlib import signatures_read_once

VALUES = importlib.import_module("onnxscript._internal.values")
SCHEMAS = importlib.import_module("torch.onnx._internal.exporter._schemas")
REGISTRY = importlib.import_module("torch.onnx._internal.exporter._registration").ONNXRegistry


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4)).eval()


def test_the_second_export_reads_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    header, signature = VALUES.TracedOnnxFunction.function_ir, SCHEMAS.op_signature_from_function

    def counted_header(function: Any) -> Any:
        read.append(function.name)
        return header.fget(function)

    def counted_signature(function: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(function.__name__)
        return signature(function, *args, **kwargs)

    counted = property(counted_header)
    monkeypatch.setattr(VALUES.TracedOnnxFunction, "function_ir", counted)
    monkeypatch.setattr(SCHEMAS, "op_signature_from_function", counted_signature)
    exports = []
    for name in ("a", "b"):
        read.clear()
        exports.append(HTPExporter(parity=False).export(net(), torch.ones(2, 3), tmp_path / f"{name}.onnx"))
    assert read == []
    assert exports[0].onnx_path.read_bytes() == exports[1].onnx_path.read_bytes()
    # Outside of exports both places are as they were, and read anew.
    assert VALUES.TracedOnnxFunction.function_ir is counted
    assert SCHEMAS.op_signature_from_function is counted_signature
    REGISTRY.from_torchlib()
    assert len(read) > 500


def test_an_operator_registered_between_two_exports_takes_part() -> None:
    library = importlib.import_module("onnxscript.function_libs.torch_lib.registration").default_registry
    with signatures_read_once():
        before = REGISTRY.from_torchlib().functions["aten::gelu"]
        library.register(library["aten::gelu"].overloads[0], "aten::gelu", complex=True)
        try:
            assert len(REGISTRY.from_torchlib().functions["aten::gelu"]) == len(before) + 1
        finally:
            library["aten::gelu"].complex.clear()


def test_without_the_places_it_is_only_slower(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript._internal.values", None)  # as if it had moved
    done = HTPExporter(parity=False).export(net(), torch.ones(2, 3), tmp_path / "c.onnx")
    assert done.onnx_path.is_file()
