"""What a code object does, and which names outside of itself it reads."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import CodeType

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_IN_BETWEEN = ("PUSH_NULL", "CACHE", "COPY_FREE_VARS", "EXTENDED_ARG", "PRECALL", "KW_NAMES")
ENVIRONMENT = ("environ", "getenv", "environb")
_SUBSCRIPTS = ("BINARY_SUBSCR", "STORE_SUBSCR", "DELETE_SUBSCR")
_COMPUTES = ("BUILD_STRING", "FORMAT_VALUE", "FORMAT_SIMPLE", "BINARY_OP")
_MANY = 65_536


class Code:
    """What one function says, its inner functions included; each is read when it is asked for."""

    def __init__(self, code: CodeType) -> None:
        self._code = code

    @cached_property
    def digest(self) -> str:
        """Of operations, constants and names. Lines and docstrings' places are not in it: comments change nothing."""
        parts: list[object] = []
        for each in nested(self._code):
            parts.append(
                (each.co_name, each.co_code.hex(), each.co_names, each.co_varnames, each.co_freevars, each.co_flags)
            )
            parts.append(
                (each.co_argcount, each.co_posonlyargcount, each.co_kwonlyargcount, each.co_exceptiontable.hex())
            )
            parts.append([_constant(constant) for constant in each.co_consts])
        return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that is read of anything."""
        return frozenset(name for each in nested(self._code) for name in each.co_names)

    @cached_property
    def reads(self) -> Reads:
        """What it reads from outside of itself."""
        chains: dict[tuple[str, ...], None] = {}
        imports: dict[tuple[str, str, int], None] = {}
        variables: set[str | None] = set()
        for each in nested(self._code):
            instructions = [found for found in dis.get_instructions(each) if found.opname not in _IN_BETWEEN]
            _read_names(instructions, chains, imports)
            variables.update(_variables(instructions))
        known = frozenset(name for name in variables if name is not None)
        return Reads(tuple(chains), tuple(imports), known, None in variables)


@dataclass(frozen=True)
class Reads:
    """What a function reads from outside of itself.

    Attributes:
        chains: ``("torch", "nn", "functional", "gelu")`` for each global that is read, with the attributes read of it.
        imports: ``("package.module", "name", level)`` for imports inside of the function; the name is ``""`` for the
            module, the level that of a relative import.
        variables: of the environment that are read by their names. computed: whether others are, by computed ones.
    """

    chains: tuple[tuple[str, ...], ...]
    imports: tuple[tuple[str, str, int], ...]
    variables: frozenset[str]
    computed: bool


_READ: dict[int, tuple[CodeType, Code]] = {}


def read_code(code: CodeType) -> Code:
    """What a code object says. It is immutable, and kept, so that its identity remains its own."""
    known = _READ.get(id(code))
    if known is None:
        if len(_READ) >= _MANY:
            _READ.clear()
        known = _READ[id(code)] = code, Code(code)
    return known[1]


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


def _read_names(
    instructions: list[dis.Instruction],
    chains: dict[tuple[str, ...], None],
    imports: dict[tuple[str, str, int], None],
) -> None:
    chain: tuple[str, ...] = ()
    module, level = "", 0
    for place, instruction in enumerate(instructions):
        name = instruction.opname
        if name in _LOADS:
            _keep(chain, chains)
            chain = (str(instruction.argval),)
        elif name in _ATTRIBUTES and chain:
            chain = (*chain, str(instruction.argval))
        elif name == "IMPORT_NAME":
            module, level = str(instruction.argval), int(instructions[place - 2].argval)
            imports[module, "", level] = None
        elif name == "IMPORT_FROM":
            imports[module, str(instruction.argval), level] = None
        else:
            _keep(chain, chains)
            chain = ()
    _keep(chain, chains)


def _variables(instructions: list[dis.Instruction]) -> Iterator[str | None]:
    """Environment variables by their names; None for one whose name is computed, and for the environment as a whole."""
    for place, instruction in enumerate(instructions):
        if not instruction.opname.startswith("LOAD_") or instruction.argval not in ENVIRONMENT:
            continue
        rest = instructions[place + 1 :]
        if rest and rest[0].opname == "CONTAINS_OP":
            yield _text(instructions[place - (2 if instruction.opname in _ATTRIBUTES else 1)])
            continue
        called = instruction.argval == "getenv" or bool(rest and rest[0].opname in _ATTRIBUTES)
        if rest and rest[0].opname in _ATTRIBUTES:
            rest = rest[1:]
        until = next((n for n, each in enumerate(rest) if each.opname.startswith("CALL")), len(rest))
        named = bool(rest) and (
            not any(each.opname in _COMPUTES for each in rest[:until])
            if called
            else len(rest) > 1 and (rest[1].opname in _SUBSCRIPTS or rest[1].argrepr == "[]")
        )
        yield _text(rest[0]) if named else None


def _text(instruction: dis.Instruction) -> str | None:
    constant = instruction.opname == "LOAD_CONST" and isinstance(instruction.argval, str)
    return instruction.argval if constant else None


def _keep(chain: tuple[str, ...], chains: dict[tuple[str, ...], None]) -> None:
    if chain:
        chains[chain] = None
