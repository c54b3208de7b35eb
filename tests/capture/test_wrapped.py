"""Weights that are tensors over other tensors, as torchao's quantized ones: exported like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import return_and_correct_aliasing

from pytest_htp import HTPExporter
from pytest_htp.capture.cost import tensor_bytes
from pytest_htp.capture.parameters import distinct_parameters, shared_parameters, zero_biases
from pytest_htp.capture.state import preserved
from pytest_htp.capture.wrapped import is_wrapper, plain_parts


class Codes(torch.Tensor):
    """int8 codes and one scale a row; computed with in float."""

    @staticmethod
    def __new__(cls, codes: torch.Tensor, scale: torch.Tensor) -> Codes:
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=scale.dtype)  # type: ignore[attr-defined,no-any-return]

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor) -> None:
        self.codes, self.scale = codes, scale

    @classmethod
    def of(cls, weight: torch.Tensor) -> Codes:
        scale = weight.abs().amax(1, keepdim=True) / 127
        return cls((weight / scale).round().to(torch.int8), scale)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["codes", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: dict[str, torch.Tensor], context: object, *_: object) -> Codes:
        return cls(inner["codes"], inner["scale"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.clone.default):
            made = cls(func(args[0].codes), func(args[0].scale))
            return return_and_correct_aliasing(func, args, kwargs or {}, made)
        plain = [arg.codes * arg.scale if isinstance(arg, cls) else arg for arg in args]
        return func(*plain, **(kwargs or {}))


def quantized() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    for layer in (net[0], net[2]):
        layer.weight = nn.Parameter(Codes.of(layer.weight.detach()), requires_grad=False)
    return net


def test_the_export_is_made_and_checked(tmp_path: Path) -> None:
    net = quantized()
    weight = net[0].weight
    export = HTPExporter().export(net, (torch.randn(2, 8),), tmp_path / "m.onnx")
    assert export.coverage.none == 0
    assert export.parity.measured
    assert export.parity.failed == []
    assert export.attestation["attested"] == 3
    assert net[0].weight is weight


def test_its_bytes_are_those_of_its_parts() -> None:
    weight = quantized()[0].weight
    assert is_wrapper(weight)
    assert not is_wrapper(torch.ones(1))
    assert [part.dtype for part in plain_parts(weight)] == [torch.int8, torch.float32]
    assert tensor_bytes([weight]) == 8 * 8 + 8 * 4


def test_tied_ones_are_one() -> None:
    net = quantized()
    net[2].weight = net[0].weight
    assert shared_parameters(net)["0.weight"] == ("0.weight", "2.weight")
    assert set(distinct_parameters(net)) == {"0.weight", "0.bias", "2.bias"}
    assert zero_biases(net) == {}


def test_one_in_a_buffer_comes_back_as_it_was() -> None:
    net = nn.Module()
    net.register_buffer("table", Codes.of(torch.ones(2, 2)))
    with preserved(net):
        net.table.scale.zero_()
    assert bool((net.table.scale > 0).all())
