"""What PyTorch's public names stand for: one may have been given to another function of PyTorch's own, or to a
``functools.partial`` of one, which is nobody's code and so no patch by :mod:`pytest_htp.cache.patches`.
"""

from __future__ import annotations

import hashlib
from functools import partial
from itertools import chain
from types import ModuleType

import torch

_SPACES: tuple[object, ...] = (torch, torch.Tensor, torch.onnx, torch.export, torch.fx, torch.linalg, torch.special,
                            torch.fft)  # fmt: skip


class PublicNames:
    """Of modules that come with ``import torch``, so that no other import changes what is said."""

    def __init__(self) -> None:
        self._values: list[object] = []
        self._digest = ""

    def digest(self) -> str:
        """Of all names with the functions and classes they stand for; made anew where one stands for another."""
        values = [*chain.from_iterable(vars(space).values() for space in _SPACES)]
        same = len(values) == len(self._values) and all(map(lambda one, other: one is other, values, self._values))
        if not same:
            said = [sorted(filter(None, map(_said, vars(space).items()))) for space in _SPACES]
            self._values, self._digest = values, hashlib.sha256(repr(said).encode()).hexdigest()[:32]
        return self._digest


def _said(item: tuple[str, object]) -> tuple[str, str] | None:
    name, value = item
    if name.startswith("__") and name.endswith("__") and isinstance(value, str | dict | type(None)):
        return None  # of every module
    if isinstance(value, ModuleType) or vars(torch._C.TensorBase).get(name) is value:
        return None  # some are loaded later; an exporter that wrapped a method has put the inherited one in its place
    if isinstance(value, partial):
        return name, f"{_said((name, value.func))} {value.args!r} {value.keywords!r}"
    inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    called = getattr(inner, "__qualname__", None)
    return name, f"{getattr(inner, '__module__', '')}.{called}" if isinstance(called, str) else type(value).__qualname__
