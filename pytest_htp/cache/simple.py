"""Functions that are nothing but their code and plain defaults: most of a library's, told without a walk."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from types import FunctionType

_PLAIN = frozenset((type(None), bool, int, float))


def is_simple(function: FunctionType) -> bool:
    """Whether it has no closure, attributes or keyword defaults, and only numbers and None as defaults."""
    return (
        function.__closure__ is None
        and function.__kwdefaults__ is None
        and not function.__dict__
        and (function.__defaults__ is None or _PLAIN.issuperset(map(type, function.__defaults__)))
    )


def digest_of_simple(code: str, said: tuple[str, str, str], defaults: tuple[object, ...] | None) -> str:
    """By what ``code`` digests, what is said of it, and its defaults; types count, 1 is not True."""
    return _digest(code, said, repr(defaults))


@lru_cache(maxsize=65_536)
def _digest(code: str, said: tuple[str, str, str], defaults: str) -> str:
    return hashlib.sha256(f"simple {said!r} {code} {defaults}".encode("utf-8", "backslashreplace")).hexdigest()[:32]
