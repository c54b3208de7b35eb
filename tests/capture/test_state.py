"""`preserved` gives the model and the process back, whatever the body does."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pytest_htp.capture import state
from pytest_htp.capture.state import preserved, seeded


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 2)
        self.cache: list[int] = [1]
        self.register_buffer("table", torch.arange(4.0).expand(2, 4), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x))


def _hooks(net: Net) -> None:
    net.register_forward_hook(lambda *_: None)
    net.linear.register_forward_pre_hook(lambda *_: None)
    net.linear.register_full_backward_hook(lambda *_: None)
    net.register_state_dict_pre_hook(lambda *_: None)


def _attributes(net: Net) -> None:
    net.forward = lambda x: x
    net.cache.append(2)
    net.extra = 1
    del net.norm.eps


def _parameters(net: Net) -> None:
    net.linear.weight = nn.Parameter(torch.zeros(2, 3))
    net.linear.bias.requires_grad_(False)
    net.norm.weight.data = torch.zeros(3)
    net.double()


def _buffers(net: Net) -> None:
    net.train()(torch.randn(5, 3))
    net.norm.running_mean = torch.ones(3)
    net.register_buffer("new", torch.ones(1))
    net.table.untyped_storage().fill_(7)


def _submodules(net: Net) -> None:
    net.linear = nn.Linear(3, 3)
    net.add_module("more", nn.ReLU())


def _grads(net: Net) -> None:
    net(torch.randn(5, 3)).sum().backward()


CHANGES = [_hooks, _attributes, _parameters, _buffers, _submodules, _grads, lambda net: net.train()]


def _picture(net: Net) -> object:
    """Everything that must be as before; tensors by identity, place and value."""
    tensors = [*net.named_parameters(), *net.named_buffers()]
    return (
        [(id(m), type(m), m.training, {k: id(v) for k, v in vars(m).items()}) for m in net.modules()],
        [{k: list(v) for k, v in vars(m).items() if isinstance(v, dict) and "hooks" in k} for m in net.modules()],
        [(n, id(t), t.data_ptr(), t.dtype, t.requires_grad, t.grad, t.tolist()) for n, t in tensors],
        list(net.cache),
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_the_model_comes_back(change: Callable[[Net], object], fails: bool) -> None:
    net = Net().eval()
    net.register_forward_hook(lambda *_: None)  # the user's own stays
    before = _picture(net)
    if fails:
        with pytest.raises(KeyError), preserved(net):  # noqa: PT012
            change(net)
            raise KeyError
    else:
        with preserved(net):
            change(net)
            assert _picture(net) != before
    assert _picture(net) == before


def test_the_process_comes_back(tmp_path: object) -> None:
    logger = logging.getLogger("pytest_htp.tests.state")
    logger.setLevel(logging.INFO)

    def picture() -> object:
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.overrides._get_current_function_mode_stack(),
            list(warnings.filters),
            (logger.level, logger.propagate, list(logger.handlers), logger.isEnabledFor(logging.DEBUG)),
            logging.root.manager.disable,
        )

    before = picture()
    with preserved(nn.Identity()):
        torch.rand(1), random.random(), np.random.rand()
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        warnings.simplefilter("ignore")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        logging.disable(logging.CRITICAL)
        assert picture() != before
    assert picture() == before


def test_functions_that_an_exporter_left_replaced_are_put_back() -> None:
    where, unsqueeze, seed = torch.where, torch.Tensor.unsqueeze, torch.manual_seed

    def patch(*_: object) -> None: ...

    def other(*_: object) -> None: ...

    patch.__module__ = "transformers.exporters.exporter_onnx"
    try:
        with preserved(nn.Identity()):
            torch.where = torch.Tensor.unsqueeze = patch
            torch.manual_seed = other
        assert torch.where is where
        assert torch.Tensor.unsqueeze is unsqueeze
        assert torch.manual_seed is other, "what a library replaced for good stays"
    finally:
        torch.manual_seed = seed


def test_a_large_buffer_is_not_copied_and_reported_when_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BUFFER_COPY_LIMIT", 8)
    net = Net()
    with pytest.warns(RuntimeWarning, match="in place .* 'norm.running_mean'; "), preserved(net):
        net.norm.running_mean.add_(1)
    with pytest.raises(KeyError), preserved(net):  # noqa: PT012 - the warning hides no exception
        net.norm.running_mean.add_(1)
        raise KeyError


def test_a_parameter_written_in_place_is_reported() -> None:
    net = nn.Linear(2, 2)
    with pytest.warns(RuntimeWarning, match="'weight'"), preserved(net):
        nn.init.ones_(net.weight)


def test_lazy_modules_come_back_lazy() -> None:
    net = nn.Sequential(nn.LazyLinear(3))
    with preserved(net):
        net(torch.ones(1, 2))
        assert type(net[0]) is nn.Linear
    assert type(net[0]) is nn.LazyLinear


def test_configs_come_back() -> None:
    class Config:
        use_cache = True

        def __init__(self) -> None:
            self.layers = [1]

    net = nn.Identity()
    net.config = Config()
    with preserved(net):
        net.config.use_cache = False
        net.config.layers.append(2)
    assert vars(net.config) == {"layers": [1]}


def test_seeded_is_repeatable_and_leaves_no_trace() -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), random.random(), float(np.random.rand())

    states = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    with seeded(3):
        first = draw()
    with seeded(3):
        assert draw() == first
    with seeded(4):
        assert draw() != first
    assert states == (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
