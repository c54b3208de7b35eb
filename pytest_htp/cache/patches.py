"""What somebody has put into the toolchain at run time: functions in its modules and classes that are not its own.

An upgrade is seen by versions; a test that wraps ``torch.onnx.export``, registers an attention function with
transformers or replaces a method of ``nn.Linear`` leaves no other trace than the function itself, where it was put.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from operator import attrgetter
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
    WrapperDescriptorType,
)
from typing import Any

import torch

from pytest_htp.cache.constants import changed_constants
from pytest_htp.cache.places import is_generated, is_installed, made_by_library

_LOOKED_THROUGH = ("torch", "transformers", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "pytest_htp")
_OF_DATACLASSES = ("__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__",
                   "__delattr__", "__replace__")  # fmt: skip
_OF_EVERY_CLASS = ("__dict__", "__weakref__", "_abc_impl")
_COMPILES = "torch._inductor."  # makes functions from text, and no export runs them
_COMPILED = "__compiled_fn_"  # what dynamo compiled has such a name, in the module of the function that called it
_NOT_RUN = (_COMPILES, "torch.distributed.", "torch.optim.", "torch.utils.data.", "torch.package.", "torch.testing.",
            "torch.return_types", "torch.profiler.")  # fmt: skip
_DEEPEST = 3  # a registry that is an object, its table, and what stands in the table under one name
# Of Python's own: neither somebody's code nor what leads to it. More than half of all values.
_NO_CODE = frozenset((str, NoneType, bool, int, float, bytes, ModuleType, BuiltinFunctionType, MethodDescriptorType,
                      GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType))  # fmt: skip
_CODE_OF = attrgetter("__code__")
_OF_OLD_TENSORS = type(torch.FloatTensor)  # ``torch.cuda.FloatTensor`` and forty more: no tensor is an instance of one
_BATCH = 128  # namespaces; benchmarks: 64 to 512 take two thirds of what all at once takes
_LARGEST = 64  # of lists; longer ones hold tests' samples, not code


@dataclass
class _Namespace:
    """A module's, class's, object's or table's names when last looked at.

    Attributes:
        name: where it was found first.
        owner: kept, so that its identity remains its own.
        live: its values as they are whenever it is read. values: as they were.
        functions: among the values. codes: what each ran.
        foreign: names of those that are not the toolchain's. inner: namespaces among them.
    """

    name: str
    owner: object
    live: Collection[object]
    values: list[object]
    functions: list[FunctionType]
    codes: list[CodeType]
    foreign: list[tuple[str, object]]
    inner: list[tuple[str, object]]

    @classmethod
    def of(cls, name: str, owner: object) -> _Namespace:
        live = _live(owner)
        values = [*live]
        names = [(key, value) for key, value in _names(owner) if type(value) not in _NO_CODE]
        functions = [value for value in map(_function_of, values) if type(value) is FunctionType]
        foreign, inner = list(_foreign(name, owner, names)), list(_inner(name, owner, names))
        return cls(name, owner, live, values, functions, [*map(_CODE_OF, functions)], foreign, inner)

    def changed(self) -> bool:
        return not _same([*self.live], self.values) or [*map(_CODE_OF, self.functions)] != self.codes

    def matters_as_before(self) -> bool:
        """Whether what changed in it is neither foreign nor a namespace: exporting itself moves counters and caches."""
        now = _Namespace.of(self.name, self.owner)
        if not (_same(now.foreign, self.foreign) and _same(now.inner, self.inner)):
            return False  # and it counts as changed until it is looked at again
        self.values, self.functions, self.codes = now.values, now.functions, now.codes
        return True


class _Batch:
    """Namespaces that are compared together: their values as one list, so few that the processor's cache holds them."""

    def __init__(self, namespaces: Sequence[_Namespace]) -> None:
        self._namespaces = namespaces
        self._lives = [each.live for each in namespaces]
        self._keep()

    def _keep(self) -> None:
        self._sizes = [len(each.values) for each in self._namespaces]
        self._values = [*chain.from_iterable(each.values for each in self._namespaces)]
        self._functions = [*chain.from_iterable(each.functions for each in self._namespaces)]
        self._codes = [*chain.from_iterable(each.codes for each in self._namespaces)]

    def is_as_before(self) -> bool:
        """Whether nothing that matters has changed in them."""
        if (
            [*map(len, self._lives)] == self._sizes
            and _same([*chain.from_iterable(self._lives)], self._values)
            and [*map(_CODE_OF, self._functions)] == self._codes
        ):
            return True
        if not all(each.matters_as_before() for each in self._namespaces if each.changed()):
            return False
        self._keep()
        return True


class Patches:
    """Finds them. All of PyTorch and transformers is a hundred thousand names: only what changed is looked at again."""

    def __init__(self) -> None:
        self._known: dict[int, _Namespace] = {}
        self._modules: list[ModuleType] = []
        self._looked: dict[int, _Namespace] = {}
        self._batches: list[_Batch] = []
        self._found: dict[str, object] = {}

    def find(self) -> dict[str, object]:
        """``module.Class.name`` → the foreign function or class, in order of the names."""
        modules = list(sys.modules.values())
        known = len(self._modules)
        if not (_same(modules[:known], self._modules) and all(each.is_as_before() for each in self._batches)):
            self._looked, self._batches, self._found, known = {}, [], {}, 0
        if len(modules) > known:
            self._look_at(list(sys.modules.items())[known:])
            self._modules = modules
        return self._found | _translations()

    def _look_at(self, modules: list[tuple[str, ModuleType]]) -> None:
        before, found = len(self._looked), dict[str, object]()
        for name, module in modules:
            if _is_looked_through(name) and isinstance(module, ModuleType):
                self._look(name, module, found, 0)
        self._found = dict(sorted((self._found | found).items()))
        new = [*islice(self._looked.values(), before, None)]
        self._batches += [_Batch(new[start : start + _BATCH]) for start in range(0, len(new), _BATCH)]

    def _look(self, name: str, owner: object, found: dict[str, object], depth: int) -> None:
        known = self._known.get(id(owner))
        if known is None or known.changed():
            known = self._known[id(owner)] = _Namespace.of(name, owner)
        if not isinstance(owner, tuple):  # which can't change
            self._looked[id(owner)] = known
        found.update(known.foreign)
        for place, namespace in known.inner if depth < _DEEPEST else ():
            self._look(place, namespace, found, depth + 1)


@lru_cache(maxsize=65_536)
def _is_looked_through(module: str) -> bool:
    return module.partition(".")[0] in _LOOKED_THROUGH and not module.startswith(_NOT_RUN)


def _names(owner: object) -> list[tuple[str, object]]:
    if isinstance(owner, dict):
        return [(_label(key), value) for key, value in dict.items(owner)]
    if isinstance(owner, list | tuple):
        return [(str(place), value) for place, value in enumerate(owner)]
    return list(vars(owner).items())


def _live(owner: object) -> Collection[object]:
    """By the methods of ``dict`` itself: transformers' lazy tables import what they are asked for."""
    if isinstance(owner, list | tuple):
        return owner
    return dict.values(owner) if isinstance(owner, dict) else vars(owner).values()


def _label(key: object) -> str:
    """A key's name, the same in every process."""
    if type(key) is str:
        return key
    name = getattr(key, "__qualname__", None)
    return name if isinstance(name, str) else str(key)


def _same(now: Sequence[object], before: Sequence[object]) -> bool:
    """Whether they are the same objects; lists compare identities first, so others are rarely asked."""
    try:
        return bool(now == before)
    except Exception:  # arrays don't say
        return len(now) == len(before) and all(one is other for one, other in zip(now, before, strict=True))


def _inner(name: str, owner: object, names: list[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    for key, value in names:
        kind = type(value)
        if issubclass(kind, type):
            if value.__module__ == name and isinstance(owner, ModuleType) and kind is not _OF_OLD_TENSORS:
                yield f"{name}.{key}", value
        elif not key.startswith("__") and (table := _table(value)) is not None:
            yield f"{name}.{key}", table  # decompositions, attention implementations, activations, registries


def _table(value: Any) -> Any:
    """What of a value code stands in, or may be put into: itself, or an object's attributes; None where it can't be."""
    kind = type(value)
    if issubclass(kind, dict):
        items = dict.values(value)
        return value if not items or any(_may_be_code(item) or _table(item) is not None for item in items) else None
    if issubclass(kind, list | tuple):
        return value if len(value) < _LARGEST and any(map(_is_code, value)) else None
    if not _is_looked_through(str(kind.__module__)) or issubclass(kind, ModuleType):
        return None
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return attributes if any(issubclass(type(each), dict) for each in attributes.values()) else None


def _is_code(value: object) -> bool:
    return type(value) is FunctionType or issubclass(type(value), type)


def _may_be_code(value: object) -> bool:
    """Whether functions may stand beside it in a table: it is one, or an object that a library made of some."""
    return _is_code(value) or _is_looked_through(str(type(value).__module__))


def _translations() -> dict[str, object]:
    """Translations of operators to ONNX that are not onnxscript's own, which its registry holds in lists of objects."""
    registration = sys.modules.get("onnxscript.function_libs.torch_lib.registration")
    found: dict[str, object] = {}
    for name, held in registration.default_registry._registry.items() if registration is not None else ():
        for translation in (*getattr(held, "overloads", ()), *getattr(held, "complex", ())):
            function = getattr(translation, "func", None) or getattr(translation, "function", translation)
            if _is_foreign(function):
                found[f"translation of {name}"] = function
    return found


def _foreign(name: str, owner: object, names: list[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    if isinstance(owner, ModuleType):
        yield from ((f"{name}.{key}", value) for key, value in changed_constants(owner))
    for key, value in names:
        inner = _function_of(value)
        if not _is_foreign(inner) or key.startswith(_COMPILED):
            continue
        if not _is_of_its_class(inner, key, vars(owner) if isinstance(owner, type) else {}):
            # A class made from text may say that it is the library's: recognised by what is in it.
            yield f"{name}.{key}", _identity(inner)


def _function_of(value: Any) -> Any:
    """The function in a static or class method or a property; any other value is itself."""
    kind = type(value)
    return value.__func__ if kind in (staticmethod, classmethod) else value.fget if kind is property else value


def _identity(value: object) -> object:
    if not _is_made_from_text(value):
        return value
    return value, [(name, each) for name, each in vars(value).items() if name not in _OF_EVERY_CLASS]


def _is_foreign(value: Any) -> bool:
    """Whether a function, class or object is the user's (or a test's); a wrapped function also by what it calls."""
    while True:
        kind = type(value)
        if kind is FunctionType:
            if _is_foreign_code(value):
                return True
            value = vars(value).get("__wrapped__")
            if value is None:
                return False
        elif kind is partial:
            value = value.func
        elif kind is MethodType:
            value = value.__func__
        elif issubclass(kind, type):
            return _is_foreign_module(str(value.__module__)) or _is_made_from_text(value)
        else:
            return value is not None and _is_foreign_module(str(kind.__module__))


@lru_cache(maxsize=65_536)
def _is_foreign_module(name: str) -> bool:
    """By its file; whatever stands in for something in a test is foreign."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return name == "unittest.mock" or (file is not None and not is_installed(file))


def _is_foreign_code(function: FunctionType) -> bool:
    """Text run as code is foreign, but for the standard library's frozen modules."""
    if is_generated(function):
        frozen = function.__code__.co_filename.removeprefix("<frozen ").removesuffix(">")
        module = sys.modules.get(frozen) if frozen.partition(".")[0] in sys.stdlib_module_names else None
        return module is None or vars(module) is not function.__globals__
    return not is_installed(function.__code__.co_filename)


def _is_made_from_text(value: object) -> bool:
    """Whether a class has a method of no file that Python did not make for it."""
    if not issubclass(type(value), type) or str(value.__module__).startswith(_COMPILES):
        return False
    names = vars(value)
    functions = [(name, each) for name, each in names.items() if type(each) is FunctionType and is_generated(each)]
    return any(_is_foreign_code(each) and not _is_of_its_class(each, name, names) for name, each in functions)


def _is_of_its_class(value: object, name: str, names: Mapping[str, object]) -> bool:
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
