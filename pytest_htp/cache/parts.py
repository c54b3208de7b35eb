"""What values are made of: each as the name of its kind and other values, and whether it keeps more than it shows."""

from __future__ import annotations

import functools
import gc
import random
import re
import types
import weakref
from collections import defaultdict, deque
from typing import Any

from pytest_htp.cache.leaves import DERIVABLE

_COLLECTIONS = (dict, list, tuple, set, frozenset, deque)
_POINTER = tuple.__itemsize__
_OWN_LAYOUT = ("__dict__", "__weakref__")
LRU_CACHE = functools._lru_cache_wrapper


def parts_of(value: Any) -> tuple[str, list[Any]] | None:
    """Kind and parts of a value that is made of others; None for other objects.

    Of a subclass of a collection, number or text the class and the attributes are parts, too.
    """
    kind = type(value)
    for base in (*_COLLECTIONS, *DERIVABLE):
        if isinstance(value, base):
            return base.__name__, [*_content(value, base), *([] if kind is base else [kind, attributes(value)])]
    if isinstance(value, types.MappingProxyType):
        return "mappingproxy", [each for pair in value.items() for each in pair]
    if kind is slice:
        return "slice", [value.start, value.stop, value.step]
    if kind is re.Pattern:
        return "pattern", [value.pattern, value.flags]
    if kind is types.MethodType:
        return "method", [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return "partial", [value.func, value.args, value.keywords, attributes(value)]
    if isinstance(value, staticmethod | classmethod):
        return kind.__name__, [value.__func__]
    if kind is property:
        return "property", [value.fget, value.fset]
    if kind is functools.cached_property:
        return "cached property", [value.func, value.attrname]
    if isinstance(value, weakref.ReferenceType):
        return "reference", [value()]
    if isinstance(value, random.Random):
        return "random", [kind, value.getstate(), attributes(value)]
    if kind is LRU_CACHE:
        return "cache", [value.__wrapped__]
    return None


def attributes(value: object) -> dict[str, object] | None:
    """An object's ``__dict__``; None where it has none, or an empty one."""
    return getattr(value, "__dict__", None) or None


def _content(value: Any, base: type) -> list[Any]:
    """By the methods of ``base``: a subclass may answer otherwise."""
    if base is dict:
        content: list[object] = [each for pair in dict.items(value) for each in pair]
        return [*content, value.default_factory] if isinstance(value, defaultdict) else content
    if base in DERIVABLE:
        return [str.__str__(value) if base is str else base.__repr__(value)]
    content = [*base.__iter__(value)]  # type: ignore[attr-defined]
    return [*content, value.maxlen] if base is deque else content


def kept_by(cache: functools._lru_cache_wrapper[object]) -> list[object]:
    """What an ``lru_cache`` will answer without calling its function: arguments and results."""
    if not cache.cache_info().currsize:
        return []
    kept: list[object] = []
    for each in gc.get_referents(cache):
        if type(each) is not dict:
            kept.append(each)
        elif each is not vars(cache):  # with a limit, results stand beside it, in order of use
            kept += [*each] if cache.cache_parameters()["maxsize"] is not None else [each]
    return kept


def keeps_more(cls: type) -> bool:
    """Whether objects of a class hold what is in no attribute: some class of it was written in C, with fields."""
    while cls is not object:
        base = cls.__base__
        if base is None or cls.__itemsize__:
            return True
        slots = vars(cls).get("__slots__", ())
        own = {slots} if isinstance(slots, str) else {*slots}
        fields = len(own.difference(_OWN_LAYOUT)) + sum(name in vars(cls) for name in _OWN_LAYOUT)
        if cls.__basicsize__ - base.__basicsize__ > fields * _POINTER:
            return True
        cls = base
    return False
