from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy
import pytest

from pytest_htp import HTPExportData, HTPExportMonitor, HTPExportStep, HTPMetadataWriter
from pytest_htp.format.atomic import AtomicFiles
from pytest_htp.monitor.jsontext import clean

SCHEMA = json.loads((files("pytest_htp") / "schemas" / "metadata.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def written(data: HTPExportData) -> tuple[HTPMetadataWriter, str]:
    writer = HTPMetadataWriter()
    writer.finish(data)
    return writer, "".join(writer.chunks())


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_file_holds_everything_and_fits_the_schema(export_data: HTPExportData) -> None:
    writer, text = written(export_data)
    metadata = strict(text)
    VALIDATOR.validate(metadata)
    assert metadata == writer.get_metadata()
    assert metadata["schema"] == "pytest-htp/metadata/1"
    assert metadata["status"] == "completed"
    assert metadata["model"] == {"name": None, "class": "BertModel", "modules": 29, "parameters": 4385920}
    assert metadata["output"] == {"file": "model.onnx", "bytes": 123456, "external_data_bytes": 17543680}
    assert metadata["opset"] == {"": 18}
    assert metadata["execution_steps"] == 54
    assert metadata["export_time"] == 4.21
    assert metadata["tagging"]["tagging_stats"] == export_data.tagging_stats
    assert metadata["parity"] == export_data.parity
    assert metadata["attestation"] == export_data.attestation
    assert metadata["environment"] == {"onnx": "1.23.2", "torch": "2.13.0"}
    assert list(metadata["steps"]) == [step.value for step in HTPExportStep]
    assert metadata["hierarchy"]["embeddings.drop"]["execution_order"] is None
    assert metadata["hierarchy"]["encoder"]["output_shapes"] == [[2, 16, 128]]
    assert len(metadata["nodes"]) == 109


def test_every_node_has_its_evidence_and_untagged_ones_no_tag(export_data: HTPExportData) -> None:
    nodes = written(export_data)[0].get_metadata()["nodes"]
    assert nodes["lost"] == {
        "tag": None, "evidence": "none", "rule": None, "op_type": "Shape", "domain": "",
    }  # fmt: skip
    assert nodes["node_0"]["origins"] == ["/BertModel", "/BertModel/BertEncoder.encoder"]
    assert "origins" not in nodes["node_1"]  # a single origin says nothing
    assert "origins" not in nodes["node_2"]
    assert list(nodes) == list(export_data.node_details)  # graph order


def test_nodes_of_which_only_the_tag_is_known_are_there_too() -> None:
    nodes = written(HTPExportData(tagged_nodes={"a": "/A"}))[0].get_metadata()["nodes"]
    assert nodes == {"a": {"tag": "/A", "evidence": None, "rule": None, "op_type": None, "domain": None}}


def test_what_was_not_measured_is_null_and_zero_where_it_was() -> None:
    metadata = strict(written(HTPExportData())[1])
    VALIDATOR.validate(metadata)
    assert metadata["total_nodes"] is None
    assert metadata["export_time"] is None
    assert metadata["parity"] is None
    assert metadata["output"] == {"file": None, "bytes": None, "external_data_bytes": None}
    empty = HTPExportData(total_modules=1, tagging_stats={"total_nodes": 0, "coverage": 100.0})
    metadata = strict(written(empty)[1])
    assert metadata["total_nodes"] == 0
    assert metadata["model"]["parameters"] == 0
    assert metadata["tagging"]["tagging_stats"] == {"total_nodes": 0, "coverage": 100.0}


def test_a_failed_export_fits_the_schema_too(tmp_path: Path) -> None:
    monitor = HTPExportMonitor(tmp_path / "model.onnx", verbose=False)
    monitor.log_step(HTPExportStep.MODEL_PREP)
    monitor.log_error(HTPExportStep.INPUT_GEN, RuntimeError("boom"))
    monitor.log_error(None, RuntimeError("again"))
    VALIDATOR.validate(strict(monitor.finalize()["metadata"].read_text("utf-8")))


def test_the_schema_refuses_what_is_wrong(export_data: HTPExportData) -> None:
    good = written(export_data)[0].get_metadata()
    wrong: list[Callable[[dict[str, Any]], object]] = [
        lambda m: m.update(schema="pytest-htp/metadata/2"),
        lambda m: m.pop("nodes"),
        lambda m: m.update(surprise=1),
        lambda m: m["nodes"]["lost"].update(evidence="guessed"),
        lambda m: m["steps"].update(preheating={"status": "completed"}),
        lambda m: m["tagging"]["tagging_stats"].update(coverage=101),
    ]
    for spoil in wrong:
        metadata = json.loads(json.dumps(good))
        spoil(metadata)
        assert not VALIDATOR.is_valid(metadata)


def test_nan_numpy_and_other_strangers_become_json() -> None:
    nan, infinite = float("nan"), float("inf")
    data = HTPExportData(
        export_time=nan,
        tagging_stats={"coverage": infinite, "direct": numpy.int64(3), "root_share": numpy.float64(2.5)},
        parity={"worst": numpy.float32(0.5), "nan": numpy.float64(nan), "array": numpy.zeros(3), 1: {2, 1}},
        steps={"model_tracing": {"status": "completed", "seconds": -infinite, "path": Path("/a/b")}},
        file_size=10**5000,
    )
    writer, text = written(data)
    metadata = strict(text)
    assert metadata == writer.get_metadata()
    assert metadata["export_time"] is None
    assert metadata["tagging"]["tagging_stats"] == {"direct": 3, "coverage": None, "root_share": 2.5}
    assert metadata["parity"] == {"worst": 0.5, "nan": None, "array": None, "1": [1, 2]}
    assert metadata["steps"]["model_tracing"] == {"status": "completed", "seconds": None, "path": "b"}
    assert metadata["output"]["bytes"] is None


def test_endless_nesting_ends() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert len(json.dumps(clean(loop))) < 1000


def test_unpaired_surrogates_survive_the_way_through_utf8(tmp_path: Path) -> None:
    data = HTPExportData(model_name="\ud800 é", tagged_nodes={"\udfff": "/\ud800"})
    data.node_details = {"模型": {"op_type": "Ü\ud800"}}
    writer, _ = written(data)
    with AtomicFiles() as target:
        target.stage(tmp_path / "m.json", writer.chunks())
        target.commit()
    raw = (tmp_path / "m.json").read_bytes()
    assert json.loads(raw) == writer.get_metadata()
    assert "模型".encode() in raw


def test_the_same_data_makes_the_same_bytes(new_data: Callable[..., HTPExportData]) -> None:
    assert written(new_data())[1] == written(new_data())[1]


@pytest.mark.parametrize("nodes", [20_000])
def test_memory_does_not_grow_with_the_nodes(tmp_path: Path, nodes: int) -> None:
    data = HTPExportData()
    for number in range(nodes):
        key = f"node_{number}"
        data.tagged_nodes[key] = f"/Model/Layer.layers.{number // 10}"
        data.node_details[key] = {"op_type": "MatMul", "domain": "", "evidence": "direct", "rule": None}
    writer = HTPMetadataWriter()
    writer.finish(data)
    tracemalloc.start()
    try:
        with AtomicFiles() as target:
            target.stage(tmp_path / "m.json", writer.chunks())
            target.commit()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "m.json").stat().st_size > 2_000_000
    assert peak < 1_500_000  # bytes; the cache of quoted words is bounded, one node at a time is held
