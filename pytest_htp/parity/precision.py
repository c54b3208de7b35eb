"""In which precision a value was computed, whatever type it has now: casting up brings no digits back.

A model that computes in fp16 and returns ``logits.float()`` differs by fp16's rounding, not by fp32's. So a value is
held to the tolerance of the coarsest floating-point type that PyTorch's modules returned before it. PyTorch's, not the
graph's: an export that computes in fp16 what the model doesn't must fail.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pytest_htp.capture.hierarchy import ModuleCall

_FINE_TO_COARSE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def coarser(dtype: torch.dtype, other: torch.dtype | None) -> torch.dtype:
    """The coarser of two real floating-point types; ``dtype`` where one is none."""
    if dtype not in _FINE_TO_COARSE or other not in _FINE_TO_COARSE:
        return dtype
    return max(dtype, other, key=_FINE_TO_COARSE.index)


def precision_at_borders(calls: Sequence[ModuleCall]) -> tuple[list[torch.dtype | None], list[torch.dtype | None]]:
    """For each call the coarsest type that any module returned before it began, and when it was done."""
    before: list[torch.dtype | None] = [None] * len(calls)
    after: list[torch.dtype | None] = [None] * len(calls)
    coarsest: torch.dtype | None = None
    around: list[ModuleCall] = []

    def leave(outer: int | None) -> None:
        nonlocal coarsest
        while around and around[-1].order != outer:
            call = around.pop()
            for record in call.outputs:
                dtype = record.tensor.dtype
                coarsest = coarser(dtype, coarsest) if dtype in _FINE_TO_COARSE else coarsest
            after[call.order] = coarsest

    for call in calls:  # in the order of their beginning
        leave(call.parent)
        before[call.order] = coarsest
        around.append(call)
    leave(None)
    return before, after
