"""One small, complete export to observe."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_htp.vocabulary import HTPExportData, HTPExportStep, ModuleInfo


def make_data(layers: int = 12, odd_layer: int | None = None) -> HTPExportData:
    """An encoder of ``layers`` layers, four nodes a module (one of them fused), one node without evidence."""
    data = HTPExportData(
        model_class="BertModel",
        total_modules=5 + 2 * layers,
        total_parameters=4_385_920,
        output_path="/somewhere/private/model.onnx",
        exporter="transformers",
        opset={"": 18},
        execution_steps=2 * (3 + 2 * layers),
        inputs=[{"name": "input_ids", "dtype": "INT64", "shape": ["batch", 16]}],
        outputs=[{"name": "last_hidden_state", "dtype": "FLOAT", "shape": ["batch", None, 128]}],
        file_size=123_456,
        external_data_size=17_543_680,
        export_time=4.21,
        parity={
            "measured": True,
            "outputs": [{"name": "last_hidden_state", "max_abs": "1e-05", "max_rel": "1e-04"}],
            "first_divergence": None,
            "failed": [],
        },
        attestation={"measured": False, "reason": "onnxruntime is not installed"},
        environment={"torch": "2.13.0", "onnx": "1.23.2"},
    )

    def add(path: str, class_name: str, tag: str, calls: int = 1) -> None:
        order = len(data.hierarchy) if calls else None
        data.hierarchy[path] = ModuleInfo(path, class_name, tag, order, calls, 100, [[2, 16]], [[2, 16, 128]])

    add("", "BertModel", "/BertModel")
    add("embeddings", "BertEmbeddings", "/BertModel/BertEmbeddings.embeddings")
    add("embeddings.drop", "Dropout", "/BertModel/BertEmbeddings.embeddings/Dropout.drop", calls=0)
    add("encoder", "BertEncoder", "/BertModel/BertEncoder.encoder")
    for layer in range(layers):
        tag = f"/BertModel/BertEncoder.encoder/BertLayer.layer.{layer}"
        attention = "OddAttention" if layer == odd_layer else "BertAttention"
        add(f"encoder.layer.{layer}", "BertLayer", tag)
        add(f"encoder.layer.{layer}.attention", attention, f"{tag}/{attention}.attention")
    for info in list(data.hierarchy.values()):
        for position in range(4 if info.calls else 0):
            key = f"node_{len(data.tagged_nodes)}"
            data.tagged_nodes[key] = info.tag
            evidence = "direct" if position else "fused"
            data.node_details[key] = {"op_type": "Add", "domain": "", "evidence": evidence, "rule": None}
    data.node_details["node_0"]["origins"] = ["/BertModel", "/BertModel/BertEncoder.encoder"]
    data.node_details["node_1"]["origins"] = ["/BertModel"]
    data.node_details["lost"] = {"op_type": "Shape", "domain": "", "evidence": "none", "rule": None}
    tagged = len(data.tagged_nodes)
    data.total_nodes = tagged + 1
    data.coverage = 100 * tagged / data.total_nodes
    data.tagging_stats = {
        "total_nodes": data.total_nodes,
        "direct": tagged * 3 // 4,
        "fused": tagged // 4,
        "inferred": 0,
        "none": 1,
        "coverage": data.coverage,
        "direct_coverage": 75 * tagged / data.total_nodes,
        "root_share": 400 / data.total_nodes,
    }
    data.steps = {step.value: {"status": "completed", "seconds": step.number / 8} for step in HTPExportStep}
    return data


@pytest.fixture
def export_data() -> HTPExportData:
    return make_data()


@pytest.fixture
def new_data() -> Callable[..., HTPExportData]:
    return make_data
