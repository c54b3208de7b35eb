"""Custom operators: Python functions that PyTorch's dispatcher calls, and whose code a model does not name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import torch

from pytest_htp.cache import Uncertain

_OWN = ("aten", "prim", "prims", "higher_order", "quantized", "quantized_decomposed", "inductor", "onnx",
        "_c10d_functional", "profiler", "torch_attn", "mkldnn", "mkl", "sparse")  # fmt: skip
_PARTS = (
    "_init_fn",
    "_backend_fns",
    "_abstract_fn",
    "_backward_fn",
    "_vmap_fn",
    "_torch_dispatch_fns",
    "_setup_context_fn",
)


def describe_operator(value: object) -> object | None:
    """What says all about an operator, None for something else.

    Raises:
        Uncertain: it was registered in a way that hides its code.
    """
    from torch._library.custom_ops import CustomOpDef

    if isinstance(value, CustomOpDef):
        return value._qualname, [vars(value).get(part) for part in _PARTS]
    if isinstance(value, torch._ops.OpOverload):
        return value._name, describe_operator(value._overloadpacket)
    if not isinstance(value, torch._ops.OpOverloadPacket):
        return (type(value).__name__, str(value)) if isinstance(value, torch._ops.HigherOrderOperator) else None
    name = value._qualified_op_name
    return name, _registered(name)


def _registered(name: str) -> object:
    from torch._library.custom_ops import OPDEFS

    namespace = name.partition("::")[0]
    if name in OPDEFS:
        return describe_operator(OPDEFS[name])
    if namespace in _OWN:
        return None
    try:
        return version(namespace)  # a package's own, like torchvision's
    except PackageNotFoundError:
        raise Uncertain(f"the code of the custom operator {name} can't be determined") from None
