"""Tensors as they were when they were seen: memory is shared until something writes to it.

A copy of every activation costs as much as an eighth of ResNet-50's export, and next to none is written to afterwards.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn


def writes_to(tensor: torch.Tensor) -> int:
    """How often a tensor was written in place, as torch counts; 0 for inference tensors, which keep no count."""
    return 0 if tensor.is_inference() else tensor._version


@dataclass(slots=True)
class TensorRecord:
    """A tensor seen at a module's border: where in the (nested) arguments or result, and the tensor itself.

    ``version`` is the tensor's in-place counter when it was seen: a larger counter later means the value was
    overwritten since, so it no longer is what the module took or returned.
    """

    where: str
    tensor: torch.Tensor
    version: int

    @property
    def overwritten(self) -> bool:
        """Whether the tensor was written to in place since it was seen."""
        return writes_to(self.tensor) != self.version


@dataclass(slots=True)
class _Shared:
    """A tensor on a seen one's memory, and the records that hold it."""

    seen: weakref.ref[torch.Tensor]
    version: int
    tensor: torch.Tensor
    records: list[TensorRecord] = field(default_factory=list)


class Kept:
    """Keeps what a pass makes; to be notified before anything is written to (:meth:`before_write`).

    One tensor serves all records of the same one seen unchanged, so that memory holds each activation once. What was
    there before the pass (inputs, buffers) can be written to after it, by the next run of the model, and is copied at
    once; of what the model itself keeps, :attr:`TensorRecord.overwritten` tells.

    Attributes:
        blind: whether writes go unnoticed at present (in the branches of control flow): everything is copied then.
    """

    def __init__(self, there: Iterable[torch.Tensor]) -> None:
        self.blind = False
        self._there = {_memory(tensor) for tensor in there}
        self._known: dict[int, _Shared] = {}
        self._by_memory: dict[int, list[_Shared]] = {}

    def keep(self, record: TensorRecord) -> TensorRecord:
        """The record with a tensor that stays what it is. Parameters are taken as they are."""
        tensor = record.tensor
        if isinstance(tensor, nn.Parameter):
            return record
        shared = self._known.get(id(tensor))
        if shared is None or shared.seen() is not tensor or shared.version != writes_to(tensor):
            shared = self._known[id(tensor)] = self._share(tensor)
        kept = TensorRecord(record.where, shared.tensor, writes_to(shared.tensor))
        shared.records.append(kept)
        return kept

    def _share(self, tensor: torch.Tensor) -> _Shared:
        shared = _Shared(weakref.ref(tensor), writes_to(tensor), tensor.detach())
        memory = _memory(tensor)
        if memory is None or memory in self._there or self.blind:
            shared.tensor = shared.tensor.clone()
        else:
            self._by_memory.setdefault(memory, []).append(shared)
        return shared

    def before_write(self, tensor: torch.Tensor) -> None:
        """Copy what is kept on this tensor's memory."""
        for shared in self._by_memory.pop(_memory(tensor) or 0, ()):
            copy = shared.tensor.clone()
            for record in shared.records:
                record.tensor, record.version = copy, writes_to(copy)
            shared.version = -1  # a write through ``.data`` is not counted


def _memory(tensor: torch.Tensor) -> int | None:
    """Where a tensor's elements are; None of one that is no plain tensor."""
    if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout is not torch.strided:
        return None
    return tensor.untyped_storage().data_ptr()
