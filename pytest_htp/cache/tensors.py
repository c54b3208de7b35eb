"""Tensors by content: what they show, and which of them show the same memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pytest_htp.cache import Uncertain

_PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


class Tensors:
    """Digests of tensors that may share memory: each storage is read once, and numbered in order of appearance."""

    def __init__(self) -> None:
        self._storages: dict[int, tuple[int, str]] = {}
        self._kept: list[torch.Tensor] = []  # their addresses must not go to others meanwhile
        self._apart: list[str] | None = None

    @contextmanager
    def values_apart(self) -> Iterator[list[str]]:
        """Values met in the block go to a list of their own, in order of appearance, and not into what is said."""
        self._apart = values = list[str]()
        try:
            yield values
        finally:
            self._apart = None

    def describe(self, tensor: torch.Tensor, describe_other: Callable[[object], object]) -> object:
        """Everything of a tensor that an export can depend on, with the same repr for the same.

        Args:
            tensor: of the model or its inputs; only read.
            describe_other: for the plain attributes of tensor subclasses.

        Raises:
            Uncertain: its values can't be read.
        """
        self._kept.append(tensor)
        kind = f"{type(tensor).__module__}.{type(tensor).__qualname__}"
        said = (kind, str(tensor.dtype), tuple(tensor.shape), str(tensor.device), tensor.requires_grad)
        if type(tensor) not in _PLAIN and hasattr(tensor, "__tensor_flatten__"):
            names, context = tensor.__tensor_flatten__()
            inner = [(name, self.describe(getattr(tensor, name), describe_other)) for name in names]
            return said, inner, describe_other(context), describe_other(type(tensor))
        if torch.nn.parameter.is_lazy(tensor):
            return said[0], "uninitialised"
        if tensor.device.type == "meta":
            return said, tuple(tensor.stride())
        if type(tensor) not in _PLAIN or tensor.layout != torch.strided or tensor.is_quantized:
            raise Uncertain(f"the values of a {type(tensor).__name__} ({tensor.layout}) can't be determined")
        extra = {name: value for name, value in vars(tensor).items() if not name.startswith("_is_hf_")}
        flags = tensor.is_conj(), tensor.is_neg()
        return (
            said,
            tuple(tensor.stride()),
            tensor.storage_offset(),
            self._storage(tensor),
            flags,
            describe_other(extra),
        )

    def _storage(self, tensor: torch.Tensor) -> tuple[int, str]:
        """Number of the storage, and digest of its values."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address not in self._storages:
            values = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            read: Any = values.cpu().numpy()
            self._storages[address] = len(self._storages), hashlib.sha256(read).hexdigest()
            if self._apart is not None:
                self._apart.append(self._storages[address][1])
        number, content = self._storages[address]
        return (number, "apart") if self._apart is not None else (number, content)
