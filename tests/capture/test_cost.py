"""What a forward pass costs, against ``FlopCounterMode`` itself wherever it can count."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fixtures import config_dir
from fixtures.plain import MODELS
from pytest_htp.capture.hierarchy import Hierarchy, watch_forward
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.shapes import shapes_only
from pytest_htp.vocabulary import Cost


def watch(model: nn.Module, *args: torch.Tensor, **kwargs: torch.Tensor) -> Hierarchy:
    return watch_forward(model.eval(), args, kwargs, keep_tensors=False)


def counted_by_torch(model: nn.Module, *args: torch.Tensor, **kwargs: torch.Tensor) -> dict[str, int]:
    """Path → operations in ``FlopCounterMode``'s own table."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*args, **kwargs)
    root = type(model).__name__
    return {
        name[len(root) + 1 :]: sum(counts.values())
        for name, counts in counter.get_flop_counts().items()
        if name != "Global"
    }


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2", "llama"])
@pytest.mark.parametrize("weights", ["real", "none"])
def test_modules_of_transformers_models_cost_what_flop_counter_says(name: str, weights: str) -> None:
    real = resolve_model(config_dir(name)).module
    inputs = make_inputs(real, None)
    expected = counted_by_torch(real, *inputs.copies()[0], **inputs.copies()[1])
    assert expected[""] > 0
    if weights == "none":
        none = resolve_model(config_dir(name), weights="none").module
        with shapes_only(none, *inputs.copies()) as (args, kwargs):
            modules = watch_forward(none, args, kwargs, keep_tensors=False).modules
    else:
        modules = watch(real, *inputs.copies()[0], **inputs.copies()[1]).modules
    found = {path: info.cost.flops for path, info in modules.items() if info.cost.flops}
    assert found == {path: flops for path, flops in expected.items() if flops}


def test_convolutions_and_bytes() -> None:
    model, inputs = MODELS["convnet"].make(), MODELS["convnet"].inputs()
    modules = watch(model, **inputs).modules
    assert modules[""].cost.flops == counted_by_torch(model, **inputs)[""]
    batch, _, height, width = inputs["image"].shape
    conv = modules["stages.0.0"]
    assert conv.params_bytes == (8 * 3 * 3 * 3 + 8) * 4
    assert conv.cost.activation_bytes == batch * 8 * -(-height // 2) * -(-width // 2) * 4
    assert modules["stages.0"].params_bytes == 0
    assert modules["stages.0.2"].cost.flops == 0  # a ReLU multiplies no matrices


class Attention(nn.Module):
    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        if self.fused:
            return nn.functional.scaled_dot_product_attention(q, q, q)
        return torch.softmax(q @ q.transpose(-1, -2), -1) @ q


def test_attention_on_the_cpu_is_counted_apart() -> None:
    q = torch.rand(2, 4, 16, 8)
    products = 2 * (2 * 4 * 16 * 16 * 8) * 2
    fused, eager = (watch(Attention(fused=fused), q).modules[""].cost for fused in (True, False))
    assert (fused.flops, fused.attention_flops) == (0, products)
    assert (eager.flops, eager.attention_flops) == (products, 0)
    assert counted_by_torch(Attention(fused=True), q).get("", 0) == 0  # the day torch counts it, so do we


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.shared(self.shared(x))
        return y, y


def test_calls_add_up_and_a_tensor_returned_twice_counts_once() -> None:
    modules = watch(Twice(), torch.rand(3, 4)).modules
    assert modules["shared"].cost == Cost(2 * 2 * 3 * 4 * 4, 0, 2 * 3 * 4 * 4)
    assert modules[""].cost == Cost(2 * 2 * 3 * 4 * 4, 0, 3 * 4 * 4)


def test_counting_runs_one_branch_only() -> None:
    model, inputs = MODELS["branches"].make(), MODELS["branches"].inputs()
    plain: list[str] = []
    for path, module in model.named_modules():
        module.register_forward_hook(lambda *_, path=path: plain.append(path))
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        model(**inputs)
    expected = sorted(set(plain))
    assert sorted(watch(model, **inputs).executed) == expected
    assert len(expected) < len(list(model.modules()))


def test_kernels_that_hide_products_make_the_count_unknown() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("needs an LSTM in oneDNN")
    info = watch(nn.LSTM(4, 4), torch.rand(3, 1, 4)).modules[""]
    assert info.cost.flops is None
    assert info.cost.activation_bytes == (3 * 4 + 4 + 4) * 4


def test_a_call_that_raised_leaves_its_module_unknown_and_others_known() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bad, self.good = nn.Linear(5, 5), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                return self.bad(x)
            except RuntimeError:
                return self.good(x)

    modules = watch(Tries(), torch.rand(1, 4)).modules
    assert modules["bad"].cost == Cost()
    assert modules["good"].cost.flops == 32
