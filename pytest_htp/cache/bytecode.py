"""What a code object does, and which names outside of itself it reads."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_IN_BETWEEN = ("PUSH_NULL", "CACHE", "COPY_FREE_VARS", "EXTENDED_ARG")


@dataclass(frozen=True)
class Code:
    """What one function says, its inner functions included.

    Attributes:
        digest: of operations, constants and names. Lines and docstrings' places are not in it: comments change nothing.
        chains: ``("torch", "nn", "functional", "gelu")`` for each global that is read, with the attributes read of it.
        imports: ``("package.module", "name")`` for imports inside of the function; the name is ``""`` for the module.
        names: every name that is read of anything. texts: all text constants.
    """

    digest: str
    chains: tuple[tuple[str, ...], ...]
    imports: tuple[tuple[str, str], ...]
    names: frozenset[str]
    texts: tuple[str, ...]


@lru_cache(maxsize=65_536)
def read_code(code: CodeType) -> Code:
    """Read a code object. Equal code objects are read once: they are immutable."""
    chains: dict[tuple[str, ...], None] = {}
    imports: dict[tuple[str, str], None] = {}
    texts: dict[str, None] = {}
    parts: list[object] = []
    for each in nested(code):
        parts.append(
            (each.co_name, each.co_code.hex(), each.co_names, each.co_varnames, each.co_freevars, each.co_flags)
        )
        parts.append((each.co_argcount, each.co_posonlyargcount, each.co_kwonlyargcount, each.co_exceptiontable.hex()))
        parts.append([_constant(constant) for constant in each.co_consts])
        texts |= dict.fromkeys(constant for constant in each.co_consts if isinstance(constant, str))
        _read_names(each, chains, imports)
    digest = hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
    names = frozenset(name for each in nested(code) for name in each.co_names)
    return Code(digest, tuple(chains), tuple(imports), names, tuple(texts))


def nested(code: CodeType) -> Iterator[CodeType]:
    """A code object and those of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def _constant(value: object) -> object:
    """Something with the same repr in every process."""
    if isinstance(value, CodeType):
        return "code"
    if isinstance(value, frozenset):
        return sorted(repr(_constant(item)) for item in value)
    if isinstance(value, tuple):
        return [_constant(item) for item in value]
    return type(value).__name__, repr(value)


def _read_names(code: CodeType, chains: dict[tuple[str, ...], None], imports: dict[tuple[str, str], None]) -> None:
    chain: tuple[str, ...] = ()
    module = ""
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _LOADS:
            _keep(chain, chains)
            chain = (str(instruction.argval),)
        elif name in _ATTRIBUTES and chain:
            chain = (*chain, str(instruction.argval))
        elif name == "IMPORT_NAME":
            module = str(instruction.argval)
            imports[module, ""] = None
        elif name == "IMPORT_FROM":
            imports[module, str(instruction.argval)] = None
        elif name not in _IN_BETWEEN:
            _keep(chain, chains)
            chain = ()
    _keep(chain, chains)


def _keep(chain: tuple[str, ...], chains: dict[tuple[str, ...], None]) -> None:
    if chain:
        chains[chain] = None
