"""In-place writes to a tensor, which torch counts."""

from __future__ import annotations

import torch


def writes_to(tensor: torch.Tensor) -> int:
    """How often a tensor was written in place; 0 for inference tensors, which keep no count."""
    return 0 if tensor.is_inference() else tensor._version
