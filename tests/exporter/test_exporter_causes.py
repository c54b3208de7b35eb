"""What the exporters refuse: the message keeps their words, names the module and the line, and a remedy that fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_htp import HTPExporter, HTPExportError
from pytest_htp.exporter.causes import CAUSES, cause_of

X = torch.ones(2, 4)


class Around(nn.Module):
    """The failing module is not the root."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any) -> Any:
        return self.inner(*args)


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


@dataclasses.dataclass
class Batch:
    x: torch.Tensor


class TakesBatch(nn.Module):
    def forward(self, batch: Batch) -> torch.Tensor:
        return batch.x * 2


class ReturnsBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> Batch:
        return Batch(x * 2)


class FixedAxis(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(2, 4)


class Label(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
        return x * 2, "label"


def message(model: nn.Module, inputs: Any, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(HTPExportError) as caught:
        HTPExporter(**options).export(model, inputs, tmp_path / "m.onnx")
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "inputs", "options", "expected"),
    [
        (Around(Branch()), (X,), {}, ["in module inner: GuardOnData", "return x if x.sum() > 0 else -x", "torch.cond"]),
        (Around(Bessel()), (X,), {}, ["in module inner: operator prims.bessel_j0", "bessel_j0(x)", "custom_trans"]),
        (TakesBatch(), (Batch(X),), {}, ["Unsupported input type", "torch.export.register_dataclass"]),
        (ReturnsBatch(), (X,), {}, ["not a known type", "torch.export.register_dataclass"]),
        (FixedAxis(), {"x": "float32[batch=2, 4]"}, {}, ["static shape of 2", "leave it out of the dynamic axes"]),
        (Label(), (X,), {}, ["no tensor: return tensors only"]),
        (nn.ReLU(), (X,), {"dynamic_shapes": {"y": {0: "n"}}}, ["['y']", "Name the arguments of forward"]),
    ],
    ids=["branch", "operator", "input class", "output class", "fixed axis", "text output", "wrong key"],
)
def test_causes(model: nn.Module, inputs: Any, options: Any, expected: list[str], tmp_path: Path) -> None:
    said = message(model, inputs, tmp_path, **options)
    assert [part for part in expected if part not in said] == []
    assert "on its own" not in said  # it does not raise there


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AttributeError: torch.classes.quantized.LinearPackedParamsBase has no", "quantized by torch.ao's eager mode"),
        ("AssertionError: Mixing fake modes NYI", "fake tensors left in the model"),
        ("UserError: Detected mismatch between the structure of `inputs` and `dynamic_shapes`", CAUSES[4].name),
    ],
)
def test_causes_that_are_told_by_their_text(text: str, name: str) -> None:
    cause = cause_of(text)
    assert cause is not None
    assert cause.name == name


def test_an_unknown_cause_gets_none_of_the_remedies() -> None:
    assert cause_of("IndexError: tuple index out of range") is None
