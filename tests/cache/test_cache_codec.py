"""What the cache keeps of an export is the export: every field comes back, with its type."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
import torch
from torch import nn

from pytest_htp import HTPExport, HTPExporter
from pytest_htp.cache.codec import decode, encode, same
from pytest_htp.cache.store import Broken


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> HTPExport:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    return HTPExporter(dynamic=True, stages=["ort:basic"], targets=["cpu"]).export(model, torch.randn(2, 4), path)


def test_an_export_comes_back_from_json(export: HTPExport) -> None:
    folder = export.onnx_path.parent
    kept = json.loads(json.dumps(encode(export, folder)))
    assert str(folder) not in json.dumps(kept)
    again = decode(kept, folder)
    assert [
        field.name for field in fields(export) if not same(getattr(export, field.name), getattr(again, field.name))
    ] == []
    assert json.loads(json.dumps(encode(again, folder))) == kept


def test_an_entry_that_leads_out_of_its_folder_is_refused(export: HTPExport) -> None:
    folder = export.onnx_path.parent
    kept = encode(export, folder)
    for path in ("/etc/passwd", f"{folder}/../model.onnx"):
        for field in ("onnx_path", "program"):
            with pytest.raises(Broken, match="outside of its folder"):
                decode({**kept, field: path}, folder)
    for entry in ({"tags": {}}, {**kept, "surprise": 1}):
        with pytest.raises(Broken, match="other fields"):
            decode(entry, folder)
    with pytest.raises(Broken, match="no export"):
        decode({**kept, "tags": 1}, folder)
