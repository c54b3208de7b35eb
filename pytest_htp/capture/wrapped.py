"""Tensors that hold others: quantized weights of torchao, for example, are a subclass over codes and scales.

Such a tensor has shape and element type, but no memory of its own: asking for its address raises.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


def is_wrapper(tensor: torch.Tensor) -> bool:
    """Whether the tensor's values lie in other tensors."""
    return is_traceable_wrapper_subclass(tensor)


def plain_parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors with memory of their own that hold a tensor's values: itself, for an ordinary one."""
    if not is_wrapper(tensor):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:  # type: ignore[attr-defined]
        yield from plain_parts(getattr(tensor, name))
