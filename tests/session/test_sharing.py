"""Identical requests of one session share one export; anything else does not."""

from __future__ import annotations

from pathlib import Path

from htp_examples import project

TEST = """
import onnx_ir as ir
import pytest
import torch
from net import Net, X, make

MODEL = make()

def test_first(htp_export):
    export = htp_export(MODEL, X, parity=False)
    export.record["graph"]["nodes"] = -1  # its own business
    for own in (export.tags, export.metadata, export.attestation, export.data.tagged_nodes):
        own.clear()
    export.program.graph.outputs.clear()

def test_same(htp_export, record_property):
    export = htp_export(MODEL, X.clone(), parity=False)
    assert export.record["graph"]["nodes"] > 0
    assert export.tags and export.metadata and export.attestation and export.data.tagged_nodes
    assert len(export.program.graph.outputs) == 1
    assert ir.load(export.onnx_path).graph.num_nodes() == export.record["graph"]["nodes"]
    for path in (export.metadata_path, export.report_path, export.console_path):
        assert path.is_file() and path.parent == export.onnx_path.parent

def test_same_again(htp_export):
    htp_export(MODEL, X, parity=False, optimize=True)  # the default, said out loud

def test_the_same_made_again(htp_export):
    htp_export(make(), X, parity=False)

def test_other_weights(htp_export):
    other = make()
    other.first.weight.data[0, 0] += 1
    htp_export(other, X, parity=False)

def test_changed_in_place(htp_export):
    with torch.no_grad():
        MODEL.first.weight[0, 0] += 2
    htp_export(MODEL, X, parity=False)

def test_other_options(htp_export):
    htp_export(MODEL, X, parity=False, opset_version=21)

def test_other_inputs(htp_export):
    htp_export(MODEL, X + 1, parity=False)

def test_other_code(htp_export, monkeypatch):
    monkeypatch.setattr(Net, "forward", lambda self, x: self.first(x))
    htp_export(MODEL, X, parity=False)

def test_other_code_in_its_place(htp_export, monkeypatch):
    monkeypatch.setattr(Net, "forward", lambda self, x: self.first(x) * 2)
    htp_export(MODEL, X, parity=False)

def test_another_exporter(htp_export, monkeypatch):
    export = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **kwargs: export(*args, **kwargs))
    htp_export(MODEL, X, parity=False)
"""


def test_what_is_shared(tmp_path: Path) -> None:
    example = project(tmp_path, TEST)
    run = example.run_pytest("--snapshot-update", outcomes={"passed": 11})
    shared = {export["name"]: export["shared_with"] for export in run.exports}
    assert shared == {
        "test_first": None,
        "test_same": "test_net.py::test_first",
        "test_same_again": "test_net.py::test_first",
        "test_the_same_made_again": "test_net.py::test_first",
        "test_other_weights": None,
        "test_changed_in_place": None,
        "test_other_options": None,
        "test_other_inputs": None,
        "test_other_code": None,
        "test_other_code_in_its_place": None,
        "test_another_exporter": None,
    }
    assert "Exported once, by" in (example.folder / "htp-report" / "index.html").read_text(encoding="utf-8")
