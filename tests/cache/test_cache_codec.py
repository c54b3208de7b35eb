"""What the cache keeps of an export is the export: every field comes back, with its type."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from shutil import copytree

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from pytest_htp import HTPExport, HTPExporter
from pytest_htp.cache.codec import decode, encode, same
from pytest_htp.cache.store import Broken
from pytest_htp.errors import HTPUsageError


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> HTPExport:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    return HTPExporter(dynamic=True, stages=["ort:basic"], targets=["cpu"]).export(model, torch.randn(2, 4), path)


def test_an_export_comes_back_from_json(export: HTPExport) -> None:
    kept = json.loads(json.dumps(encode(export)))
    again = decode(kept, export.onnx_path.parent)
    assert [
        field.name for field in fields(export) if not same(getattr(export, field.name), getattr(again, field.name))
    ] == []
    assert json.loads(json.dumps(encode(again))) == kept


def test_an_entry_that_leads_out_of_its_folder_is_refused(export: HTPExport) -> None:
    folder = export.onnx_path.parent
    kept = encode(export)
    for path in ("/etc/passwd", f"{folder}/../model.onnx"):
        for field in ("onnx_path", "graph"):
            with pytest.raises(Broken, match="outside of its folder"):
                decode({**kept, field: path}, folder)
    for entry in ({"tags": {}}, {**kept, "surprise": 1}):
        with pytest.raises(Broken, match="other fields"):
            decode(entry, folder)
    with pytest.raises(Broken, match="no export"):
        decode({**kept, "tags": 1}, folder)


def test_a_graph_is_as_it_was_when_the_export_was_found(export: HTPExport, tmp_path: Path) -> None:
    folder = copytree(export.onnx_path.parent, tmp_path / "found")
    value = json.loads(json.dumps(encode(export)).replace(str(export.onnx_path.parent), str(folder)))
    again = decode(value, folder)
    for file in folder.glob("*.onnx"):
        file.unlink()  # as the plugin does after the test
    for found, made in ((again, export), (again.stages["ort:basic"], export.stages["ort:basic"])):
        assert isinstance(found.program, ir.Model)
        assert found.program is found.program, "read once"
        read = ir.to_proto(ir.load(made.onnx_path))
        assert ir.to_proto(found.program).SerializeToString(deterministic=True) == read.SerializeToString(
            deterministic=True
        )


def test_weights_beside_a_graph_are_found(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = nn.Linear(64, 64)
    export = HTPExporter(external_data=True, parity=False).export(model, torch.ones(1, 64), path)
    assert path.with_name("model.onnx.data").is_file()
    weight = decode(encode(export), tmp_path).program.graph.initializers["weight"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    assert torch.equal(torch.from_numpy(weight.numpy().copy()), model.weight.detach())


def _in_an_initializer(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def _in_an_attribute(model: onnx.ModelProto) -> onnx.TensorProto:
    node = model.graph.node.add(op_type="Constant", output=["c"])
    return node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t


def _in_a_branch(model: onnx.ModelProto) -> onnx.TensorProto:
    node = model.graph.node.add(op_type="If", input=["c"], output=["y"])
    return node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.initializer.add()


def _in_a_function(model: onnx.ModelProto) -> onnx.TensorProto:
    node = model.functions.add(name="f").node.add(op_type="Constant", output=["c"])
    return node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t


@pytest.mark.parametrize("place", [_in_an_initializer, _in_an_attribute, _in_a_branch, _in_a_function])
def test_weights_outside_of_the_folder_are_refused(
    export: HTPExport, tmp_path: Path, place: Callable[[onnx.ModelProto], onnx.TensorProto]
) -> None:
    folder = copytree(export.onnx_path.parent, tmp_path / "found")
    value = json.loads(json.dumps(encode(export)).replace(str(export.onnx_path.parent), str(folder)))
    for location in ("../secret", "/etc/passwd", "deeper/secret"):
        model = onnx.load(export.onnx_path)
        tensor = place(model)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(Broken, match="outside of its folder"):
            decode(value, folder)


@pytest.mark.parametrize("content", [b"", b"no protobuf", b"\x3a\xff\x01cut"])
def test_a_file_that_is_no_graph_is_refused_before_it_is_asked_for(
    export: HTPExport, tmp_path: Path, content: bytes
) -> None:
    folder = copytree(export.onnx_path.parent, tmp_path / "found")
    value = json.loads(json.dumps(encode(export)).replace(str(export.onnx_path.parent), str(folder)))
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(Broken):
        decode(value, folder)


def test_a_graph_that_contradicts_itself_is_told_by_one_message(export: HTPExport, tmp_path: Path) -> None:
    folder = copytree(export.onnx_path.parent, tmp_path / "found")
    value = json.loads(json.dumps(encode(export)).replace(str(export.onnx_path.parent), str(folder)))
    model = onnx.load(export.onnx_path)
    model.graph.initializer[0].data_type = 99
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    found = decode(value, folder)
    with pytest.raises(HTPUsageError, match=r"taken from the cache .* empty the folder of --htp-cache"):
        assert found.program
