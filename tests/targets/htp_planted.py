"""Patterns that a compiler can't take, planted in each of three equal layers of a graph that it takes whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from htp_tagged import Step
from onnx import TensorProto

LAYERS = "layers.{0..2}.odd"
FAILED, MOVED = "target.failed", "placement.moved"
SHAPE = (1, 8, 16, 16)


@dataclass(frozen=True)
class Planted:
    """What is put into ``layers.k.odd`` in place of a Relu, and what must be said of it.

    Attributes:
        code, module: of the finding.
        first: only the first layer has it.
        dtype, domains: of the graph, before and after; ``shape`` after.
    """

    target: str
    what: str
    odd: tuple[tuple[str, dict[str, Any]], ...]
    code: str = MOVED
    module: str | None = LAYERS
    first: bool = False
    shape: Sequence[int | str] = SHAPE
    dtype: int = TensorProto.FLOAT
    domains: tuple[str, ...] = ()

    def steps(self, *, planted: bool) -> list[Step]:
        plain = "Sigmoid" if self.dtype == TensorProto.FLOAT else "Abs"
        made: list[Step] = []
        for layer in range(3):
            there = planted and (layer == 0 or not self.first)
            odd = self.odd if there else (("Relu", {}),)
            made.append((f"layers.{layer}.act", plain, {}))
            made += [(f"layers.{layer}.odd", operator, dict(given)) for operator, given in odd]
        return [*made, ("head", plain, {})]


def _qnn(what: str, operator: str, **given: Any) -> Planted:
    return Planted("qnn", what, ((operator, given),))


def _in_one(planted: Planted) -> Planted:
    return replace(planted, what=f"{planted.what}, in one layer", module="layers.0.odd", first=True)


def _failing(target: str, what: str, operator: str, **given: Any) -> Planted:
    domains = (given["domain"],) if "domain" in given else ()
    return Planted(target, what, ((operator, given),), FAILED, domains=domains)


def _double(operator: str) -> Planted:
    return replace(_failing("cpu", f"{operator} in double precision", operator), dtype=TensorProto.DOUBLE)


def _normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


_LACKS = (
    "Shrink", "Hardmax", "Celu", "Erf", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Acos", "Asin", "Softsign", "Trilu",
)  # fmt: skip
_AXIS, _ROWS = np.array(1), np.array([3])
_WRAP = {"inputs": [np.array([0, 0, 1, 1, 0, 0, 1, 1])], "mode": "wrap"}
_TWICE = {"domain": "com.vendor"}
_LARGE = (
    ("Tile", {"inputs": [np.array([1, 1, 1, 2**28])]}),
    ("Relu", {}),
    ("Slice", {"inputs": [np.array([0]), np.array([16]), np.array([3])]}),
)
_ATTRIBUTES = (
    _qnn("a sum that runs backwards", "CumSum", inputs=[_AXIS], reverse=1),
    _qnn("a sum without its last term", "CumSum", inputs=[_AXIS], exclusive=1),
    _qnn("Mod as C has it", "Mod", inputs=[np.float32(2)], fmod=1),
    _qnn("MaxPool with dilations", "MaxPool", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2]),
    _qnn("Pad that wraps around", "Pad", **_WRAP),
    _qnn("LayerNorm over all but the first axis", "LayerNormalization", inputs=[_normal(8, 16, 16)], axis=1),
    _qnn("normalization by the sum", "LpNormalization", p=1),
    _qnn("Einsum of one operand", "Einsum", equation="abcd->abdc"),
    _qnn("ReduceL1", "ReduceL1", inputs=[_ROWS]),
    _qnn("ReduceProd", "ReduceProd", inputs=[_ROWS]),
    Planted("qnn", "numbers of 8 bits without a scale", (("Cast", {"to": 3}), ("Cast", {"to": 1}))),
)
PLANTED = (
    *(_qnn(f"{operator}, which it lacks", operator) for operator in _LACKS),
    *_ATTRIBUTES,
    *(_in_one(_qnn(f"{operator}, which it lacks", operator)) for operator in ("Shrink", "Erf", "Softsign")),
    *(_in_one(planted) for planted in (_ATTRIBUTES[0], _ATTRIBUTES[2], _ATTRIBUTES[5])),
    _failing("openvino", "a vendor's operator in all layers", "Twice", **_TWICE),
    _in_one(_failing("openvino", "a vendor's operator", "Twice", **_TWICE)),
    _failing("openvino", "random numbers", "Bernoulli"),
    _failing("openvino", "Pad that wraps around", "Pad", **_WRAP),
    _failing("cpu", "a vendor's operator in all layers", "Twice", **_TWICE),
    _in_one(_failing("cpu", "a vendor's operator", "Twice", **_TWICE)),
    *(_double(operator) for operator in ("Erf", "Tan", "Cosh", "Atan")),
    *(Planted(target, "a tensor of 2**32 columns", _LARGE, FAILED) for target in ("qnn", "openvino")),
    Planted("qnn", "a dynamic axis", (("Relu", {}),), FAILED, None, shape=("n", 8, 16, 16)),
)
