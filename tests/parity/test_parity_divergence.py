"""Where an error enters, found by faults in single nodes of real exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from htp_prepared import Prepare, every_fault, facts_at, with_fault
from torch import nn

from benchmarks.faults import large_faults
from pytest_htp import HTPExporter
from pytest_htp.capture.hierarchy import watch_forward
from pytest_htp.parity.divergence import GROWTH
from pytest_htp.parity.measure import measure_parity
from pytest_htp.parity.result import ParityRequest
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.tagger import tag_graph

KINDS = [
    "weight element",
    "weights x 1.01",
    "square weight transposed",
    "bias zeroed",
    "LayerNorm epsilon",
    "softmax scale",
    "activation swapped",
    "GELU erf to tanh",
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_of_a_fault_is_named(prepared: Prepare, kind: str, tmp_path: Path) -> None:
    request = prepared("bert")
    fitting = [fault for fault in every_fault(request) if fault.kind == kind]
    assert fitting
    fault = fitting[-1]
    found = measure_parity(with_fault(request, fault, tmp_path)).first_divergence
    assert found is not None
    assert found.module == facts_at(request, fault.position).path
    assert found.max_rel > 1e-5


def test_a_fault_that_the_outputs_hide_is_found(prepared: Prepare, tmp_path: Path) -> None:
    """A key's bias adds the same to every score of a query, so softmax removes it: no output moves at all."""
    request = prepared("bert")
    fault = next(
        fault
        for fault in every_fault(request)
        if fault.kind == "bias zeroed" and (facts_at(request, fault.position).path or "").endswith("self.key")
    )
    result = measure_parity(with_fault(request, fault, tmp_path))
    assert result.failed == []
    assert result.first_divergence is not None
    assert result.first_divergence.module == "encoder.layer.0.attention.self.key"
    record = result.to_record()
    assert record.first_divergence == "encoder.layer.0.attention.self.key"
    assert float(record.divergence or 0) >= result.first_divergence.max_rel


def test_an_error_of_any_size_that_the_outputs_hide_is_found(prepared: Prepare, tmp_path: Path) -> None:
    request = prepared("bert")
    name = "encoder.layer.0.attention.self.key"
    faults = [
        fault
        for fault in large_faults(onnx.load(request.onnx_path).graph)
        if fault.kind == "ramp x 1000" and facts_at(request, fault.position).path == name
    ]
    result = measure_parity(with_fault(request, faults[-1], tmp_path))  # the bias follows the weight
    assert result.failed == []
    assert result.first_divergence is not None
    assert result.first_divergence.module == name
    assert result.first_divergence.max_rel > 1


class Scale(nn.Module):
    """At its initial weight of one it returns what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + 0.0 * self.weight


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.weight = nn.Linear(8, 8), nn.Parameter(torch.full((8,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight * self.inner(x)


@pytest.mark.parametrize(("kind", "value"), [(Scale, 1.01), (Residual, 0.0)])
def test_a_module_that_returns_what_it_took_is_blamed_for_its_own_fault(
    kind: type[nn.Module], value: float, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Linear(8, 8), kind(), nn.Linear(8, 8)).eval()
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    made = HTPExporter(optimize=False).export(model, x, tmp_path / "m.onnx")
    assert made.parity.first_divergence is None
    hierarchy = watch_forward(model, (x,), {}, keep_tensors=True)
    tagging = tag_graph(made.program, hierarchy.modules, None)
    request = ParityRequest(made.onnx_path, made.program, {"x": x}, hierarchy, tagging)
    proto = onnx.load(made.onnx_path)
    weight = next(w for w in proto.graph.initializer if "1.weight" in w.name)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(8, value, "float32"), weight.name))
    onnx.save(proto, tmp_path / "m.onnx")
    found = measure_parity(request).first_divergence
    assert found is not None
    assert found.module == "1"


class Blocks(nn.Module):
    """Returns what each of two residual blocks gave; as in a vision tower that is read at its last block but one."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Residual(), Residual()])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.blocks[0](x)
        return self.blocks[1](first), first


class ReadEarlier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = Blocks()
        self.head = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.tower(x)[1])


def test_a_module_that_nothing_reads_is_not_in_the_graph_and_does_not_diverge(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = HTPExporter(verbose=False).export(ReadEarlier(), torch.randn(2, 8), tmp_path / "m.onnx")
    assert not any("blocks.1" in tag for tag in made.tags.values())
    assert made.parity.first_divergence is None
    assert "tower.blocks.1" not in made.parity.modules
    assert "tower.blocks.0" in made.parity.modules


def test_a_fault_accuses_no_tag(prepared: Prepare, tmp_path: Path) -> None:
    request = prepared("bert")
    attestation = measure_parity(request).attestation
    fault = next(fault for fault in every_fault(request) if fault.kind == "square weight transposed")
    faulty = measure_parity(with_fault(request, fault, tmp_path)).attestation
    assert faulty["contradicted"] == []
    assert faulty["attested"] < attestation["attested"]
    assert "values differ" in {entry["reason"] for entry in faulty["unmatched"]}


def test_an_error_between_the_calls_is_the_parents(prepared: Prepare, tmp_path: Path) -> None:
    """A softmax is a line of the attention's own forward: all modules around it agree until its result is
    used.
    """
    request = prepared("bert")
    fault = next(fault for fault in every_fault(request) if fault.kind == "softmax scale")
    found = measure_parity(with_fault(request, fault, tmp_path)).first_divergence
    assert found is not None
    assert found.module == "encoder.layer.0.attention.self"


def test_a_fault_in_a_fused_node_names_one_of_its_modules(prepared: Prepare, tmp_path: Path) -> None:
    request = prepared("convnet")
    checked = 0
    for fault in every_fault(request):
        facts = facts_at(request, fault.position)
        if facts.evidence is Evidence.FUSED:
            found = measure_parity(with_fault(request, fault, tmp_path)).first_divergence
            assert found is not None
            assert found.module in facts.origins
            checked += 1
    assert checked


@pytest.mark.parametrize("name", ["bert", "gpt2", "llava", "convnet", "called_twice", "recurrent", "in_place"])
def test_healthy_exports_don_t_diverge(prepared: Prepare, name: str) -> None:
    result = measure_parity(prepared(name))
    assert result.first_divergence is None
    assert max(found.max_rel for found in result.modules.values()) < 1e-5 * GROWTH


@pytest.mark.parametrize(
    ("name", "operator", "module", "kind"),
    [
        # Small in the module's result, and Dropout, which returned it alone, has no node and so no place.
        ("convnext", "Mul", "encoder.stages.1.layers.0", "ramp x 0.0001"),
        # The attention around takes rotary tables as well, which were folded away: they don't excuse its projection.
        ("mixtral", "MatMul", "model.layers.1.self_attn.o_proj", "ramp x 10"),
    ],
)
def test_what_modules_around_hand_on_or_take_hides_no_error(
    prepared: Prepare, name: str, operator: str, module: str, kind: str, tmp_path: Path
) -> None:
    request = prepared(name)
    graph = onnx.load(request.onnx_path).graph
    fitting = [
        fault
        for fault in large_faults(graph)
        if fault.kind == kind
        and graph.node[fault.position].op_type == operator
        and facts_at(request, fault.position).path == module
    ]
    assert fitting
    for fault in fitting:
        found = measure_parity(with_fault(request, fault, tmp_path)).first_divergence
        assert found is not None
        assert found.module == module


LARGE = ["ramp x 0.01", "ramp x 1", "ramp x 1000", "all NaN", "all infinite", "zeros", "permuted channels"]


@pytest.mark.parametrize("kind", LARGE)
def test_errors_of_any_size_are_led_home(prepared: Prepare, kind: str, tmp_path: Path) -> None:
    """Also such that move everything after them by more than their magnitude: the graph's outputs are known."""
    request = prepared("bert")
    fitting = [
        fault
        for fault in large_faults(onnx.load(request.onnx_path).graph)
        if fault.kind == kind and (facts_at(request, fault.position).path or "").endswith("output.dense")
    ]
    fault = fitting[len(fitting) // 2]
    result = measure_parity(with_fault(request, fault, tmp_path))
    assert result.first_divergence is not None
    assert result.first_divergence.module == facts_at(request, fault.position).path
    reasons = {entry["module"]: entry["reason"] for entry in result.attestation["unmatched"]}
    assert "not in the optimized graph" not in reasons.values()
