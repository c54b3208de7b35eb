"""What somebody has put into the toolchain at run time: functions in its modules and classes that are not its own.

An upgrade is seen by versions; a test that wraps ``torch.onnx.export``, registers an attention function with
transformers or replaces a method of ``nn.Linear`` leaves no other trace than the function itself, where it was put.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from pytest_htp.cache.places import is_generated, is_installed, made_by_library

_LOOKED_THROUGH = ("torch", "transformers", "onnx", "onnxscript", "onnx_ir", "onnxruntime")
_OF_DATACLASSES = ("__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__",
                   "__delattr__", "__replace__")  # fmt: skip
_OF_EVERY_CLASS = ("__dict__", "__weakref__", "_abc_impl")
_COMPILES = "torch._inductor."  # makes functions from text, and no export runs them


@dataclass
class _Namespace:
    """A module's, class's or table's names when last looked at: values, foreign ones, and namespaces inside."""

    values: list[Any]
    foreign: list[tuple[str, Any]]
    inner: list[tuple[str, Any]]


class Patches:
    """Finds them. All of PyTorch and transformers is a hundred thousand names: only what changed is looked at again."""

    def __init__(self) -> None:
        self._known: dict[int, _Namespace] = {}

    def find(self) -> dict[str, Any]:
        """``module.Class.name`` → the foreign function or class, in order of the names."""
        found: dict[str, Any] = {}
        for name, module in list(sys.modules.items()):
            looked_through = name.partition(".")[0] in _LOOKED_THROUGH and not name.startswith(_COMPILES)
            if looked_through and isinstance(module, ModuleType):
                self._look(name, module, found)
        return dict(sorted(found.items()))

    def _look(self, name: str, owner: Any, found: dict[str, Any]) -> None:
        names = owner if type(owner) is dict else vars(owner)
        values = list(names.values())
        known = self._known.get(id(owner))
        if known is None or not _same(values, known.values):
            known = _Namespace(values, list(_foreign(name, names)), list(_inner(name, owner, names)))
            self._known[id(owner)] = known
        found.update(known.foreign)
        for place, namespace in known.inner:
            self._look(place, namespace, found)


def _same(now: list[Any], before: list[Any]) -> bool:
    """Whether they are the same objects; lists compare identities first, so others are rarely asked."""
    with suppress(Exception):
        return bool(now == before)
    return False


def _inner(name: str, owner: Any, names: Any) -> Iterator[tuple[str, Any]]:
    if type(owner) is dict:
        return
    for key, value in list(names.items()):
        kind = type(value)
        if issubclass(kind, type):
            if value.__module__ == name and isinstance(owner, ModuleType):
                yield f"{name}.{key}", value
        elif kind is dict and not key.startswith("__") and any(map(_is_code, value.values())):
            yield f"{name}.{key}", value  # decompositions, attention implementations, activations


def _is_code(value: Any) -> bool:
    return type(value) is FunctionType or issubclass(type(value), type)


def _foreign(owner: str, names: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(names.items()):
        kind = type(value)
        inner = value.__func__ if kind in (staticmethod, classmethod) else value.fget if kind is property else value
        if _is_foreign(inner) and not _is_of_its_class(inner, owner, name, names):
            # A class made from text may say that it is the library's: told by what is in it.
            yield f"{owner}.{name}", _identity(inner)


def _identity(value: Any) -> Any:
    if not _is_made_from_text(value):
        return value
    return value, [(name, each) for name, each in vars(value).items() if name not in _OF_EVERY_CLASS]


def _is_foreign(value: Any) -> bool:
    """Whether a function or class is the user's (or a test's); a wrapped function also by what it calls."""
    while type(value) is FunctionType:
        if _is_foreign_code(value):
            return True
        value = vars(value).get("__wrapped__")
    if issubclass(type(value), type):
        file = getattr(sys.modules.get(value.__module__), "__file__", None)
        return (file is not None and not is_installed(file)) or _is_made_from_text(value)
    return False


def _is_foreign_code(function: FunctionType) -> bool:
    """Text run as code is foreign, but for the standard library's frozen modules."""
    if is_generated(function):
        frozen = function.__code__.co_filename.removeprefix("<frozen ").removesuffix(">")
        module = sys.modules.get(frozen) if frozen.partition(".")[0] in sys.stdlib_module_names else None
        return module is None or vars(module) is not function.__globals__
    return not is_installed(function.__code__.co_filename)


def _is_made_from_text(value: Any) -> bool:
    """Whether a class has a method of no file that Python did not make for it."""
    if not issubclass(type(value), type) or str(value.__module__).startswith(_COMPILES):
        return False
    names = vars(value)
    return any(
        type(each) is FunctionType
        and is_generated(each)
        and _is_foreign_code(each)
        and not _is_of_its_class(each, f"{value.__module__}.{value.__name__}", name, names)
        for name, each in list(names.items())
    )


def _is_of_its_class(value: Any, owner: str, name: str, names: Any) -> bool:
    """Methods that dataclasses and named tuples make from text for the classes of a library."""
    if name in _OF_DATACLASSES:  # reprlib wraps __repr__, huggingface_hub's strict dataclasses wrap __init__
        while type(value) is FunctionType and "__wrapped__" in vars(value) and not _is_foreign_code(value):
            value = vars(value)["__wrapped__"]
    if type(value) is not FunctionType or not is_generated(value) or "__wrapped__" in vars(value):
        return False
    if "__dataclass_fields__" in names and name in _OF_DATACLASSES and made_by_library(value):
        return True
    if name == "__new__" and "_field_defaults" in names:
        return str(value.__globals__.get("__name__")).startswith("namedtuple_")
    return False
