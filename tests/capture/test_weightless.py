"""Without weights nothing of their size is allocated, and everything else is as with them."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from typing import Any

import onnx_ir as ir
import pytest
import torch
import transformers
from torch import nn

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp import HTPUsageError
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.state import preserved
from pytest_htp.capture.weightless import SMALL, build_weightless, weightless


def _is_light(model: nn.Module) -> bool:
    """Nothing large has more than one element behind it."""
    stored = [
        (p.numel(), p.untyped_storage().nbytes() // p.element_size(), p.device.type, p.requires_grad)
        for p in model.parameters()
    ]
    return all(
        behind <= (SMALL if numel <= SMALL else 1) and (device, grad) == ("cpu", False)
        for numel, behind, device, grad in stored
    )


def _shapes(model: nn.Module) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    return [(name, tuple(p.shape), p.dtype) for name, p in model.named_parameters(remove_duplicate=False)]


def _sharing(model: nn.Module) -> set[tuple[str, ...]]:
    """Which parameters live in one storage."""
    places: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        places.setdefault(p.untyped_storage().data_ptr(), []).append(name)
    return {tuple(names) for names in places.values() if len(names) > 1}


@pytest.mark.parametrize("name", config_names())
def test_configs_build_the_same_model_without_weights(name: str) -> None:
    real, none = (resolve_model(config_dir(name), weights=w).module for w in ("real", "none"))
    assert _is_light(none)
    assert _shapes(none) == _shapes(real)
    assert _sharing(none) == _sharing(real)
    buffers = dict(none.named_buffers())
    for key, buffer in real.named_buffers():
        assert torch.equal(buffers[key], buffer), key
    assert [type(m).__name__ for m in none.modules()] == [type(m).__name__ for m in real.modules()]
    values = Counter((p.shape, p.flatten()[0].item()) for p in none.parameters())
    assert max(values.values()) == 1, "two parameters of a shape look equal"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_plain_factories_and_modules_lose_their_weights(name: str) -> None:
    model = MODELS[name].make()
    built = resolve_model(MODELS[name].make, weights="none").module
    before = copy.deepcopy(model.state_dict())
    identities = [id(p) for p in model.parameters()]
    assert _shapes(built) == _shapes(model)
    assert _sharing(built) == _sharing(model)
    with weightless(model) as light:
        assert light is model
        assert _is_light(model)
        assert _shapes(model) == _shapes(built)
        assert _sharing(model) == _sharing(built)
        model(**MODELS[name].inputs())
    assert _is_light(built)
    assert [id(p) for p in model.parameters()] == identities
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_weights_are_back_after_an_exception() -> None:
    model, x = nn.LSTM(40, 40), torch.randn(3, 1, 40)  # keeps a list of its parameters beside the registry
    expected = model(x)[0]
    with pytest.raises(KeyError), weightless(model):  # noqa: PT012
        assert not torch.equal(model(x)[0], expected)
        raise KeyError
    assert torch.equal(model(x)[0], expected)


def test_small_weights_stay_themselves() -> None:
    """Exporters store equal small initializers once; without weights the picture must be the same."""
    model = nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4), nn.Linear(4, 4), nn.Linear(40, 40)])
    before = [p.detach().clone() for p in model.parameters()]
    with weightless(model):
        same = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert same == [True] * 6 + [False, True]


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
        *(torch.complex64, torch.int8, torch.int64, torch.uint8, torch.bool),
    ],
)
def test_every_dtype(dtype: torch.dtype) -> None:
    def build() -> nn.Module:
        make = lambda: nn.Parameter(torch.zeros(40, 50, dtype=dtype), requires_grad=False)  # noqa: E731
        return nn.ParameterList([make(), make()])

    first, second = build_weightless(build).parameters()
    assert (first.dtype, first.shape, first.stride()) == (dtype, (40, 50), (0, 0))
    assert first[0, 0].cfloat() != second[0, 0].cfloat()
    if dtype.is_floating_point:
        assert 2**-8 < first[0, 0].float() < 1


def test_parameters_on_meta_are_filled_in_and_meta_buffers_need_a_config() -> None:
    linear = nn.Linear(2, 2, device="meta")
    with weightless(resolve_model(linear, weights="none").module):
        assert _is_light(linear)
        assert linear(torch.ones(1, 2)).isfinite().all()
    assert linear.weight.is_meta
    with pytest.raises(HTPUsageError, match=r"buffer 'running_mean' \(and 2 more\) are not known"):  # noqa: SIM117
        with weightless(nn.BatchNorm1d(2, device="meta")):
            pass
    config = transformers.LlamaConfig.from_pretrained(config_dir("llama"))
    with torch.device("meta"):
        llama = transformers.LlamaModel(config)
    real = transformers.LlamaModel(config)
    with weightless(llama):
        assert torch.equal(llama.rotary_emb.inv_freq, real.rotary_emb.inv_freq)
        assert _is_light(llama)
    assert llama.rotary_emb.inv_freq.is_meta


class UsesValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.scale = float(self.weight.sum())


class BufferOfWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("norm", self.weight.detach().sum())


class WrittenEmpty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        table = torch.empty(2**20)
        table[:] = torch.arange(2**20)
        self.register_buffer("table", table)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (UsesValues, "can't be built without weights, because building it computes with parameter values"),
        (BufferOfWeights, "values of buffer 'norm' are not known"),
        (WrittenEmpty, "buffer 'table' of WrittenEmpty .* starts as torch.empty"),
    ],
)
def test_what_needs_weights_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(HTPUsageError, match=message):
        build_weightless(factory)
    assert nn.Linear(2, 2).weight.device.type == "cpu", "the patch outlived the build"


def test_a_buffer_that_starts_empty_is_real() -> None:
    def build() -> nn.Module:
        module = nn.Module()
        module.register_buffer("table", torch.empty(2**20))
        module.table.fill_(3)
        return module

    assert build_weightless(build).table.unique().tolist() == [3]


def test_a_factory_may_load_weights_that_are_then_dropped() -> None:
    state = nn.Linear(3, 3).state_dict()

    def build() -> nn.Module:
        model = nn.Linear(3, 3)
        model.load_state_dict(state)
        return model.half()

    model = build_weightless(build)
    assert _is_light(model)
    assert model.weight.dtype == torch.float16


def test_a_model_that_existed_before_keeps_its_weights() -> None:
    model = nn.Linear(3, 3)
    weight = model.weight
    assert build_weightless(lambda: model).weight is weight
    assert not weight.is_meta


BUILD_8B = """
import resource, time
import transformers
from pytest_htp.capture.models import resolve_model
config = transformers.LlamaConfig(hidden_size=4096, num_hidden_layers=32, intermediate_size=14336,
    vocab_size=128256, num_attention_heads=32, num_key_value_heads=8, architectures=["LlamaForCausalLM"])
start = time.perf_counter()
model = resolve_model(config, weights="none").module
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(sum(p.numel() for p in model.parameters()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module")
def test_eight_billion_parameters_take_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", BUILD_8B], capture_output=True, text=True, check=True)
    measured, parameters = done.stdout.splitlines()
    seconds, peak_mib = measured.split()
    assert int(parameters) == 8_030_261_248
    # The weights would be 30 GiB; what is used is torch and transformers, 380 to 540 MiB by what gets imported.
    assert int(peak_mib) < 1024
    assert float(seconds) < 300  # never a timed test: this only tells making weights (minutes, swapping) from not


def _structure(program: ir.Model) -> object:
    nodes = [(n.op_type, [v.name if v else None for v in n.inputs]) for n in program.graph.all_nodes()]
    return nodes, sorted((v.name, str(v.dtype), str(v.shape)) for v in program.graph.initializers.values())


@pytest.mark.parametrize("name", ["convnet", "tied", pytest.param("recurrent", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch of its own code
def test_plain_graphs_are_the_same_with_and_without_weights(name: str) -> None:
    inputs = MODELS[name].inputs()

    def export(model: nn.Module) -> object:
        with preserved(model):
            program = torch.onnx.export(model, kwargs=inputs, dynamo=True, verbose=False)
        assert program is not None
        return _structure(program.model)

    model = MODELS[name].make()
    expected = export(model)
    assert export(resolve_model(MODELS[name].make, weights="none").module) == expected
    with weightless(model):
        assert export(model) == expected


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch of its own code
def test_sixteen_bit_weights_are_not_copied_by_constant_folding() -> None:
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    config = transformers.LlamaConfig.from_pretrained(config_dir("llama"), dtype="bfloat16", num_hidden_layers=1)
    model = resolve_model(config, weights="none").module
    with preserved(model), weightless(model):
        program = OnnxExporter().export(model, make_inputs(model, None).copies()[1], OnnxConfig()).program
    large = [
        tensor.numpy()
        for value in program.graph.initializers.values()
        if (tensor := value.const_value) is not None and tensor.size > SMALL
    ]
    assert len(large) >= 8
    assert all(array.strides == (0, 0) for array in large)


@pytest.mark.slow
@pytest.mark.parametrize("name", config_names())
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch of its own code
def test_transformers_graphs_are_the_same_with_and_without_weights(name: str) -> None:
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    structures = []
    for weights in ("real", "none"):
        model = resolve_model(config_dir(name), weights=weights).module
        inputs = make_inputs(model, None).copies()[1]
        with preserved(model), weightless(model) if weights == "none" else nullcontext():
            structures.append(_structure(OnnxExporter().export(model, inputs, OnnxConfig()).program))
    assert structures[0] == structures[1]
