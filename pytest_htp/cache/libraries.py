"""What is known of libraries' functions and classes, kept from one request to the next.

It holds while each is made of the same objects as then: these are compared by identity, which takes a tenth of saying
them anew. Nothing is kept of a function that holds more than code and plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from operator import is_
from types import CodeType, FunctionType

from pytest_htp.cache.leaves import KINDS, PLAIN

_NO_MEMBERS = ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__abstractmethods__",
               "_abc_impl", "__firstlineno__", "__static_attributes__", "__parameters__", "__orig_bases__",
               "__annotate__", "__annotate_func__", "__annotations_cache__", "__slotnames__")  # fmt: skip


@dataclass(frozen=True)
class Members:
    """What a library's class defines.

    Attributes:
        functions: its methods, by name, static ones and those of the class too.
        others: properties, texts and what else is looked into.
        rest: the other members, which need no look: plain values, and kinds of all that is not code.
    """

    names: list[str]
    values: list[object]
    functions: list[tuple[str, FunctionType]]
    others: list[tuple[str, object]]
    rest: str


_MANY = 65_536


@dataclass(frozen=True, slots=True)
class _Function:
    function: FunctionType
    code: CodeType
    defaults: tuple[object, ...] | None
    said: str
    digest: str


class Libraries:
    """What was said of them, by identity; each is kept, so that its identity remains its own."""

    def __init__(self) -> None:
        self._functions: dict[int, _Function] = {}
        self._classes: dict[int, tuple[type, Members]] = {}

    def digest_of(self, function: FunctionType, said: str) -> str | None:
        """The digest that was kept of a function, if it is made of the same; ``said`` is its name."""
        known = self._functions.get(id(function))
        if (
            known is not None
            and known.code is function.__code__
            and known.defaults is function.__defaults__
            and known.said == said
            and function.__kwdefaults__ is None
            and not vars(function)
        ):
            return known.digest
        return None

    def keep(self, function: FunctionType, said: str, digest: str) -> None:
        """For the next request, unless the function holds more than code and plain values."""
        defaults, more = function.__defaults__, (function.__kwdefaults__, function.__closure__, vars(function) or None)
        if more == (None, None, None) and all(map(_is_plain, defaults or ())):
            if len(self._functions) >= _MANY:
                self._functions.clear()
            self._functions[id(function)] = _Function(function, function.__code__, defaults, said, digest)

    def members_of(self, cls: type) -> Members:
        """Of a class."""
        names, values = [*vars(cls)], [*vars(cls).values()]
        known = self._classes.get(id(cls))
        if known is None or known[1].names != names or not all(map(is_, known[1].values, values)):
            if len(self._classes) >= _MANY:
                self._classes.clear()
            known = self._classes[id(cls)] = cls, _read(names, values)
        return known[1]


def member_names(cls: type) -> list[str]:
    """Names that a class defines, without those that Python puts into every class."""
    return [name for name in vars(cls) if name not in _NO_MEMBERS]


def _read(names: list[str], values: list[object]) -> Members:
    functions: list[tuple[str, FunctionType]] = []
    others: list[tuple[str, object]] = []
    rest: list[object] = []
    for name, value in zip(names, values, strict=True):
        inner = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if name in _NO_MEMBERS:
            continue
        if isinstance(inner, FunctionType):
            functions.append((name, inner))
        elif type(inner) in KINDS:
            rest.append((name, type(inner).__name__, repr(inner)))
        elif isinstance(inner, (property, partial, str, Enum, *PLAIN)):
            others.append((name, inner))
        else:
            rest.append((name, type(inner).__qualname__))
    return Members(names, values, functions, others, repr(rest))


def _is_plain(value: object) -> bool:
    """Whether a default is said alike everywhere: a path may name the project's folder."""
    return type(value) in KINDS or (type(value) is str and not {*"/\\"} & {*value})
