"""An exporter that lost a place to watch, as an upgrade may make it: said everywhere, and no evidence grows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_htp import HTPExport, HTPExporter, HTPExportError, HTPExportStep, compare_exports
from pytest_htp.capture import provenance
from pytest_htp.capture.marks import MarkKeeper

X = torch.randn(1, 3, 8, 8)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()


def export(folder: Path, **options: object) -> HTPExport:
    return HTPExporter(parity=False, **options).export(model(), X, folder / "m.onnx")


@pytest.mark.parametrize("place", ["_CORE", "_VALUES", "_REWRITE"])
def test_evidence_that_was_not_observed_is_not_direct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    before = export(tmp_path)
    assert before.record["coverage"]["fused"]
    assert "unobserved" not in before.record
    assert before.metadata["unobserved"] == []
    monkeypatch.setattr(provenance, place, "a_module_that_is_gone")
    after = export(tmp_path)
    gone = after.metadata["unobserved"]
    assert gone
    assert after.record["unobserved"] == gone
    assert all(name.startswith("a_module_that_is_gone.") for name in gone)
    for name in gone:
        assert name in after.console
        assert name in after.report_path.read_text(encoding="utf-8")
    assert after.coverage.direct == 0
    findings = {finding["code"]: finding for finding in compare_exports(before.record, after.record).findings}
    assert findings["evidence.unobserved"]["verdict"] == "regression"
    assert gone[0] in findings["evidence.unobserved"]["message"]
    assert not compare_exports(after.record, after.record).findings


def test_a_conversion_that_was_not_observed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = export(tmp_path, opset_version=17)
    monkeypatch.setattr(provenance, "_CONVERT", "a_module_that_is_gone")
    after = export(tmp_path, opset_version=17)
    assert after.record["unobserved"] == ["a_module_that_is_gone.ConvertVersionPass.call"]
    codes = [finding["code"] for finding in compare_exports(before.record, after.record).findings]
    assert "evidence.unobserved" in codes


def test_a_fault_of_our_own_is_no_lost_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(keeper: MarkKeeper, *values: object) -> None:
        raise KeyError("broken on purpose")

    monkeypatch.setattr(MarkKeeper, "replaced", broken)
    with pytest.raises(HTPExportError, match=r"broken on purpose(.|\n)*fault of pytest-htp") as caught:
        export(tmp_path)
    assert caught.value.step is HTPExportStep.NODE_TAGGING
    assert not (tmp_path / "m.onnx").exists()
