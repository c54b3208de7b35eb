"""Equal elements in the order that ONNX prescribes.

Which of equal elements ``torch.sort`` and ``torch.topk`` put first is unspecified, and the CPU's kernels make use of
that. ONNX's TopK, which exporters make of both, puts the one with the lower index first
(https://onnx.ai/onnx/operators/onnx__TopK.html). Mixtures of experts sort tokens by their expert: all that an expert
computes would be in another order than in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten


class TiesInOrder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, sorting is stable."""

    supports_higher_order_operators = True  # or torch refuses them while the mode is on

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func not in (_aten.sort.default, _aten.sort.stable, _aten.topk.default):
            return func(*args, **kwargs)
        names = [argument.name for argument in func._schema.arguments if not argument.kwarg_only]
        asked = {**dict(zip(names, args, strict=False)), **kwargs}
        dim, descending = asked.get("dim", -1), asked.get("largest" if "k" in asked else "descending", "k" in asked)
        values, indices = _aten.sort.stable(asked["self"], stable=True, dim=dim, descending=descending)
        count = asked.get("k", values.shape[dim] if values.dim() else 1)
        return tuple(found.narrow(dim, 0, count).contiguous() if found.dim() else found for found in (values, indices))
