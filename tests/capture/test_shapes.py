"""A pass over shapes: every hook fires as in a real pass, and nothing is computed."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.shapes import shapes_only


def _calls(model: nn.Module, args: tuple, kwargs: dict) -> list[tuple[str, list[int] | None]]:
    seen: list[tuple[str, list[int] | None]] = []

    def hook(name: str):
        def note(_module: nn.Module, _args: object, output: object) -> None:
            seen.append((name, list(output.shape) if isinstance(output, torch.Tensor) else None))

        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules()]
    with torch.no_grad():
        model(*args, **kwargs)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", config_names())
def test_calls_and_shapes_of_transformers_models_are_those_of_a_real_pass(name: str) -> None:
    real = resolve_model(config_dir(name)).module
    none = resolve_model(config_dir(name), weights="none").module
    inputs = make_inputs(real, None)
    parameters = [id(p) for p in none.parameters()]
    with shapes_only(none, inputs.args, inputs.copies()[1]) as (args, kwargs):
        calls = _calls(none, args, kwargs)
    assert calls == _calls(real, inputs.args, inputs.copies()[1])
    assert [id(p) for p in none.parameters()] == parameters
    assert all(type(t) in (nn.Parameter, torch.Tensor) for t in [*none.parameters(), *none.buffers()])


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"branches"}))
def test_plain_models(name: str) -> None:
    model, inputs = MODELS[name].make(), MODELS[name].inputs()
    with shapes_only(model, (), inputs) as (args, kwargs):
        calls = _calls(model, args, kwargs)
    assert calls == _calls(model, (), inputs)


def test_decisions_by_value_are_refused_and_the_model_comes_back() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) if x.sum() > 0 else x

    model = Decides()
    weight = model.linear.weight
    inputs = (torch.ones(1, 2),)
    with pytest.raises(GuardOnDataDependentSymNode), shapes_only(model, inputs, {}) as (args, _):
        model(*args)
    assert model.linear.weight is weight
    assert model(*inputs).isfinite().all()


def test_eight_billion_parameters_are_passed_in_seconds() -> None:
    config = transformers.LlamaConfig(
        hidden_size=4096,
        num_hidden_layers=4,
        intermediate_size=14336,
        vocab_size=128256,
        architectures=["LlamaForCausalLM"],
    )
    model = resolve_model(config, weights="none").module
    inputs = make_inputs(model, None)
    with shapes_only(model, inputs.args, inputs.kwargs) as (args, kwargs):
        assert model(*args, **kwargs).logits.shape == (2, 16, 128256)
