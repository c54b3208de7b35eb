"""Which models, configs, saved folders and factories a test reads, told without running it or importing torch."""

from __future__ import annotations

import dis
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

_LIBRARIES = ("torch", "transformers")
_BASES = ("Module", "PreTrainedConfig", "PretrainedConfig")
# CPython marks a load whose value is called at once in the lowest bit of its argument.
_MARKS_CALLS = ("LOAD_GLOBAL", "LOAD_ATTR") if sys.version_info >= (3, 12) else ("LOAD_GLOBAL",)


def models_of(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Key (the same for the same model in this process) and label (the same in every process) of each."""
    root = item.config.rootpath
    manifest_model = getattr(item, "htp_model", None)
    if manifest_model is not None:
        place = str(manifest_model.folder.resolve()) if manifest_model.folder is not None else manifest_model.text
        yield place, place
        return
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        for name, value in callspec.params.items():
            yield from _key(value, f"{item.path.name}:{name}:{callspec.indices.get(name)}", root)
    function = getattr(item, "function", None)
    if function is not None:
        yield from _read_by(inspect.unwrap(function), root, set())


def of_the_project(function: object, root: Path) -> bool:
    """Whether a function is defined in the project rather than in a plugin or library."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    file = Path(code.co_filename)
    return root in file.parents and "site-packages" not in file.parts


def _read_by(function: Any, root: Path, seen: set[CodeType]) -> Iterator[tuple[str, str]]:
    """What a function reads of its module, or of modules it knows, itself or through what it calls."""
    code = getattr(function, "__code__", None)
    if code is None or code in seen:
        return
    seen.add(code)
    for name, value, called in _loads(code, function.__globals__):
        if called and isinstance(value, FunctionType):
            if of_the_project(value, root):
                yield from _read_by(value, root, seen)
        elif not called or _is_model(value):
            yield from _key(value, f"{function.__module__}:{name}", root)


def _loads(code: CodeType, scope: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Name and value of every global, or attribute of a module, and whether it is only called."""
    value: Any = None
    called = False
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            value, called = scope.get(instruction.argval), False
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(value, ModuleType):
            value = vars(value).get(instruction.argval)  # a call of it may be marked at its module
        else:
            value = None
            continue
        called |= instruction.opname == "LOAD_METHOD"
        called |= instruction.opname in _MARKS_CALLS and bool((instruction.arg or 0) & 1)
        yield instruction.argval, value, called
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _loads(constant, scope)


def _key(value: object, label: str, root: Path) -> Iterator[tuple[str, str]]:
    """Nothing for what is no model, and no way to get one."""
    if isinstance(value, FunctionType):
        if of_the_project(value, root) and _takes_nothing(value) and "<" not in value.__qualname__:
            name = f"{value.__module__}:{value.__qualname__}"
            yield name, name
    elif isinstance(value, type):
        if _is_model_class(value) and not value.__module__.startswith(_LIBRARIES):
            name = f"{value.__module__}:{value.__qualname__}"
            yield name, name
    elif isinstance(value, (str, os.PathLike)):
        with suppress(OSError, ValueError):
            if Path(value, "config.json").is_file():
                yield str(Path(value).resolve()), label
    elif isinstance(value, partial) or _is_model(value):
        yield f"object {id(value)}", label


def _takes_nothing(function: FunctionType) -> bool:
    needed = function.__code__.co_argcount - len(function.__defaults__ or ())
    return needed == 0 and function.__code__.co_kwonlyargcount == len(function.__kwdefaults__ or {})


def _is_model(value: object) -> bool:
    return _is_model_class(type(value))


def _is_model_class(kind: type) -> bool:
    """By names: a project without torch must not import it."""
    return any(base.__name__ in _BASES and base.__module__.startswith(_LIBRARIES) for base in kind.__mro__)
