"""What the exporters refuse: the message keeps their words, names the module and the line, and a remedy that fits."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

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


@torch.library.custom_op("htp_causes::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Custom(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return twice(x)


class LeastSquares(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.lstsq(x, x).solution


class FakeQuantized(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)


class Anchors(nn.Module):
    """Like YOLO's head: a plain attribute, made anew where the shape differs, left as it was by an earlier export."""

    def __init__(self) -> None:
        super().__init__()
        with FakeTensorMode():
            self.anchors = torch.ones(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.anchors


def packed() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, torch.qint8)


def scripted() -> nn.Module:
    return torch.jit.script(nn.ReLU())


def message(model: Any, inputs: Any, tmp_path: Path, **options: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls both ways deprecated
        model = model if isinstance(model, nn.Module) else model()
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
        (nn.ReLU(), (X,), {"dynamic_shapes": ({0: "n"}, None)}, ["2 elements", "structure of the inputs"]),
        (Around(Custom()), (X,), {}, ["in module inner: RuntimeError: There was no fake impl", "@my_op.register_fake"]),
        (
            Around(LeastSquares()),
            (X,),
            {},
            ["in module inner: DynamicOutputShape", "lstsq(x, x)", "outside of forward"],
        ),
        (FakeQuantized(), {"x": "float32[batch=2, 4]"}, {}, ["fake_quantize", "give that axis a plain size"]),
        (Around(Anchors()), (X,), {}, ["inner.anchors is a fake tensor", "build the model anew for each export"]),
        (packed, (X,), {}, ["LinearPackedParams", "stages=['int8:dynamic']"]),
        (scripted, (X,), {}, ["ScriptModule", "Give the nn.Module that was scripted"]),
    ],
    ids=[
        "branch",
        "operator",
        "input class",
        "output class",
        "fixed axis",
        "text output",
        "wrong key",
        "structure",
        "no fake",
        "shape of values",
        "dynamic axis",
        "fake left",
        "packed",
        "script",
    ],
)
def test_causes(model: Any, inputs: Any, options: Any, expected: list[str], tmp_path: Path) -> None:
    said = message(model, inputs, tmp_path, **options)
    assert [part for part in expected if part not in said] == []
    assert "on its own" not in said  # it does not raise there


def test_the_page_lists_every_cause_with_its_remedy() -> None:
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
    assert [cause.name for cause in CAUSES if f"| {cause.name} |" not in page] == []
    assert [cause.name for cause in CAUSES if f"| {cause.remedy} |" not in page] == []


def test_an_unknown_cause_gets_none_of_the_remedies() -> None:
    assert cause_of("IndexError: tuple index out of range") is None
