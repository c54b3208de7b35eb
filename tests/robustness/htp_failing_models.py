"""Real failures of each of the eight steps: model, inputs, options, and what has to be broken around it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two layers, a buffer and a dropout: something of everything that an export could leave changed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        result: Tensor = self.last(self.drop(self.first(x)))
        return result


class ForwardRaises(Net):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise RuntimeError("the forward pass gives up")


class DataDependent(Net):
    def forward(self, x: Tensor) -> Tensor:
        result = super().forward(x)
        return result if result.sum() > 0 else -result


class OutOfMemory(Net):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise MemoryError


@torch.library.custom_op("htp_robustness::untranslatable", mutates_args=())
def untranslatable(x: Tensor) -> Tensor:
    return x * 2


@untranslatable.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class UnsupportedOperator(Net):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = untranslatable(super().forward(x))
        return result


def hook_raises() -> nn.Module:
    """A hook of the user's own that raises."""
    net = Net()

    def hook(module: nn.Module, args: Any) -> None:
        raise ValueError("the user's own hook objects")

    net.last.register_forward_pre_hook(hook)
    return net


def disk_full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_models(source: Any, target: Any) -> None:
    """``os.replace`` with room for small files only."""
    if str(target).endswith(".onnx"):
        disk_full()
    _replace(source, target)


_replace = os.replace


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : the model is not to its liking")


@dataclass
class Failure:
    """``broken`` gives the context in which the failure is there; the model itself fails without one."""

    name: str
    step: str
    says: tuple[str, ...]
    make: Callable[[], Any] = Net
    inputs: Any = field(default_factory=lambda: torch.ones(2, 3))
    broken: Callable[[], AbstractContextManager[Any]] = nullcontext
    options: dict[str, Any] = field(default_factory=lambda: {"parity": False})


def factory_raises() -> nn.Module:
    raise RuntimeError("this model can't be built")


FAILURES = [
    Failure("no model", "model_preparation", ("not a model: None", "pass an nn.Module"), lambda: None),
    Failure("factory raises", "model_preparation", ("this model can't be built",), lambda: factory_raises),
    Failure("wrong inputs", "input_generation", ("y",), inputs={"y": torch.ones(2, 3)}),
    Failure("forward raises", "hierarchy_building", ("the forward pass gives up", "forward"), ForwardRaises),
    Failure("hook raises", "hierarchy_building", ("the user's own hook objects", "hook"), hook_raises),
    Failure("out of memory", "hierarchy_building", ("MemoryError", "weights='none'"), OutOfMemory),
    Failure("data-dependent", "model_tracing", ("torch.cond",), DataDependent),
    Failure(
        "unsupported operator",
        "onnx_export",
        ("htp_robustness", "untranslatable", "has no ONNX translation"),
        UnsupportedOperator,
    ),
    Failure(
        "tagging fails",
        "node_tagging",
        ("broken on purpose", "fault of pytest-htp"),
        broken=lambda: patch("pytest_htp.exporter.tags.tag_graph", side_effect=KeyError("broken on purpose")),
    ),
    Failure(
        "disk full",
        "model_save",
        ("No space left on device", "enough disk space"),
        broken=lambda: patch("onnx_ir.save", disk_full),
    ),
    Failure(
        "rename fails",
        "model_save",
        ("No space left on device",),
        broken=lambda: patch("os.replace", full_for_models),
    ),
    Failure(
        "onnxruntime refuses",
        "export_complete",
        ("not to its liking", "ONNX Runtime refuses"),
        broken=lambda: patch("onnxruntime.InferenceSession", refuse),
        options={},
    ),
]
