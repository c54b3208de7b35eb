"""The real compilers, on graphs of a few nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from htp_tagged import Step, chain, written
from htp_wheels import OPENVINO, QNN

from pytest_htp import HTPTarget, HTPUsageError, Target
from pytest_htp.targets.builtin import BUILT_IN
from pytest_htp.targets.run import compile_for

pytest.importorskip("onnxruntime", reason="the targets' own runtime: pip install 'pytest-htp[parity]'")

# Shrink is not among the operators that QNN's provider can build.
STEPS: list[Step] = [
    ("layers.0.act", "Relu", {}),
    ("layers.0.odd", "Shrink", {}),
    ("layers.1.act", "Relu", {}),
    ("layers.1.odd", "Shrink", {}),
    ("head", "Sigmoid", {}),
]


def compiled(target: Target, folder: Path, steps: list[Step] = STEPS) -> HTPTarget:
    return compile_for(target, *written(chain(steps), folder), timeout=120)


def test_onnx_runtime_runs_everything_on_the_cpu(tmp_path: Path) -> None:
    result = compiled(BUILT_IN["cpu"], tmp_path)
    assert (result.share, result.partitions, result.device) == (100, 1, "CPU")
    assert set(result.placement) == {"layers.0.act", "layers.0.odd", "layers.1.act", "layers.1.odd", "head"}


def test_what_an_operator_is_replaced_by_stays_in_its_module(tmp_path: Path) -> None:
    result = compiled(BUILT_IN["cpu"], tmp_path, [("layers.0.odd", "Mish", {}), ("head", "Sigmoid", {})])
    assert result.placement == {"head": {"CPU": 1}, "layers.0.odd": {"CPU": 3}}


def test_nodes_that_a_fusion_adds_stay_in_its_module(tmp_path: Path) -> None:
    """MatMul and Add of a three-dimensional tensor become a Gemm between two Reshape with names of their own."""
    weight, bias = np.ones((16, 16), np.float32), np.ones(16, np.float32)
    linear: list[Step] = [("fc", "MatMul", {"inputs": [weight]}), ("fc", "Add", {"inputs": [bias]})]
    graph = chain([("a", "Relu", {}), *linear, ("z", "Relu", {})], (1, 8, 16))
    result = compile_for(BUILT_IN["cpu"], *written(graph, tmp_path), timeout=120)
    assert result.placement == {"a": {"CPU": 1}, "fc": {"CPU": 3}, "z": {"CPU": 1}}


@QNN
def test_what_qnn_leaves_to_the_cpu_is_told_by_module(tmp_path: Path) -> None:
    result = compiled(BUILT_IN["qnn"], tmp_path)
    assert result.compiled
    assert result.placement["layers.0.odd"] == result.placement["layers.1.odd"] == {"CPU": 1}
    assert result.placement["head"] == {"QNN": 1}
    assert (result.partitions, result.share, result.unplaced) == (3, 60.0, {})
    assert result.runs == (("QNN", 1), ("CPU", 1), ("QNN", 1), ("CPU", 1), ("QNN", 1))
    rows = {row.path: row.devices for row in result.record.placement}
    assert rows["layers.{0..1}.odd"] == {"CPU": 1}


@QNN
def test_a_graph_that_qnn_takes_nothing_of_does_not_compile(tmp_path: Path) -> None:
    result = compiled(BUILT_IN["qnn"], tmp_path, [("odd", "Shrink", {})])
    assert (result.compiled, result.share) == (False, None)
    assert result.error == "QNN takes no node of this graph: all of it would run on the CPU"


@QNN
def test_an_option_that_keeps_the_provider_from_being_made_is_named(tmp_path: Path) -> None:
    target = BUILT_IN["qnn"].with_options({"htp_bf16_enable": "1"})
    with pytest.raises(HTPUsageError) as refused:
        compiled(target, tmp_path)
    said = "BF16 mode is enabled but SoC model is 60 (expected 88 and above). (without htp_bf16_enable='1' it can)"
    assert str(refused.value) == f"target 'qnn': QNNExecutionProvider can't be made: {said}"


@OPENVINO
def test_openvino_compiles_for_its_cpu(tmp_path: Path) -> None:
    result = compiled(BUILT_IN["openvino"], tmp_path, [STEPS[0], STEPS[-1]])
    assert (result.share, result.partitions, result.device) == (100, 1, "CPU")
    assert set(result.placement) == {"layers.0.act", "head"}


@OPENVINO
def test_openvinos_refusal_is_kept_and_led_to_the_module(tmp_path: Path) -> None:
    model = chain([STEPS[0], ("odd", "Twice", {"domain": "com.vendor"}), STEPS[-1]], domains=["com.vendor"])
    result = compile_for(BUILT_IN["openvino"], *written(model, tmp_path), timeout=120)
    assert not result.compiled
    assert "com.vendor.Twice" in (result.error or "")
    assert result.failing == ("odd",)


@OPENVINO
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"PERFORMANCE_HINTS": "LATENCY"}, "has no option 'PERFORMANCE_HINTS' (did you mean 'PERFORMANCE_HINT'?)"),
        ({"PERFORMANCE_HINT": "FAST"}, "refuses PERFORMANCE_HINT='FAST': Wrong value FAST"),
        ({"device": "TPU"}, "OpenVINO has no device 'TPU' on this machine (it has "),
    ],
)
def test_openvinos_options_are_checked(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(HTPUsageError) as refused:
        compiled(BUILT_IN["openvino"].with_options(options), tmp_path)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("chip", provider="ChipExecutionProvider"), "this onnxruntime has no ChipExecutionProvider"),
        (Target("chip", provider="ChipExecutionProvider", library="/none.so"), "the library /none.so does not load"),
    ],
)
def test_a_provider_that_is_not_there_is_named(target: Target, message: str, tmp_path: Path) -> None:
    with pytest.raises(HTPUsageError, match=message):
        compiled(target, tmp_path)
