"""Values and the code that they bring along, as digests that are equal for equal content in any process.

Values are walked whole: containers, attributes, tensors, functions with their defaults and closures. Functions and
classes are followed into what they name. What is found of the code is kept by the file it stands in, so that a
difference can be reported as "net.py changed".

One class and one file: any value may hold a function, a function any value, so the walk is one recursion.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn

from pytest_htp.cache import Uncertain
from pytest_htp.cache.bytecode import ENVIRONMENT, nested, read_code
from pytest_htp.cache.leaves import (
    BUILTIN,
    BY_NAME,
    KINDS,
    PLAIN,
    TYPING,
    describe_array,
    describe_path,
    relative_to_root,
)
from pytest_htp.cache.libraries import Libraries, member_names
from pytest_htp.cache.names import attributes_of, cell_content, public, resolve
from pytest_htp.cache.operators import describe_operator
from pytest_htp.cache.parts import LRU_CACHE, keeps_more, kept_by, parts_of
from pytest_htp.cache.places import TOOLCHAIN, Place, file_name, is_generated, is_installed, made_by_library, place_of
from pytest_htp.cache.running import Function, doubt_of, first_doubt, is_way_in, may_run, variables_of
from pytest_htp.cache.tensors import Tensors

_TORCH_PARTS = ("_parameters", "_buffers", "_modules")
_ADDRESS = "_torchdynamo_wrapper_id"  # of functions that torch.compile or torch.compiler.disable wraps
_IN_TABLES = (types.FunctionType, functools.partial, type)
_HEAP_TYPE = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE: a class that was made at run time, not compiled in
# Where a model was loaded from, and hashes of this process, decide nothing and differ between machines.
_ORIGIN = ("name_or_path", "_name_or_path", "_commit_hash", "warnings_issued", "_original_object_hash")


class Walk:
    """One look at all that a request consists of.

    Args:
        root: the project's folder; texts are taken relative to it.
        libraries: what earlier ones said of libraries' code.

    Attributes:
        packages: importable names of the packages met.
    """

    def __init__(self, root: Path | None = None, libraries: Libraries | None = None) -> None:
        self._root = str(root) if root is not None else None
        self._libraries = libraries or Libraries()
        self._facts: dict[str, set[str]] = {}
        self._functions: dict[int, Function] = {}
        self._by_identity: dict[int, types.FunctionType] = {}
        self._held: list[Function] = []  # attributes of classes whose content can't be determined
        self._read: set[str] = set()
        self._digests: dict[int, str] = {}  # of functions and classes, by identity, with their names
        self._open: set[int] = set()
        self._followed: set[int] = set()
        self._queue: deque[types.FunctionType] = deque()
        # Methods of libraries' classes, by name: followed when something names them.
        self._waiting: dict[str, list[types.FunctionType]] = {}
        self._named_so_far: set[str] = set()
        self._resolved: dict[int, set[tuple[str, ...]]] = {}  # what libraries' functions read, by their globals
        self._tables: dict[int, list[tuple[str, str]]] = {}
        self._kept: list[object] = []
        self._tensors = Tensors()
        self._of_models = {"torch"}  # packages whose code is followed, if it is that of a module
        self.packages: set[str] = set()

    def digest(self, value: object) -> str:
        """Digest of a value; what it brings along of code waits for :meth:`code`.

        Raises:
            Uncertain: it holds something whose content can't be determined.
        """
        return _hash(self._say(value, {}, strict=True))

    def model(self, module: nn.Module) -> tuple[str, str]:
        """Digests of a model: of all but the values of its tensors, and of these.

        Raises:
            Uncertain: it holds something whose content can't be determined.
        """
        with self._tensors.values_apart() as values:
            said = self.digest(module)
        return said, _hash(values)

    def codes(self) -> dict[str, types.CodeType]:
        """Code of the user's functions by module and qualified name; inner functions too."""
        found: dict[str, types.CodeType] = {}
        for identity in self._functions:
            function = self._by_identity[identity]
            for code in nested(function.__code__):
                found.setdefault(f"{function.__module__}:{code.co_qualname}", code)
        return found

    def code(self) -> dict[str, str]:
        """Label of a file → digest of what was met of its code, after everything that is named in it was followed.

        Raises:
            Uncertain: something in it can't be determined.
        """
        while self._queue:
            self._follow(self._queue.popleft())
        doubt = first_doubt(may_run([*self._functions.values(), *self._held]))
        if doubt is not None:
            raise Uncertain(doubt)
        return {label: _digest("\n".join(sorted(facts))) for label, facts in self._facts.items()}

    def variables(self) -> set[str]:
        """Environment variables that the user's code met may read."""
        return variables_of(may_run(self._functions.values()))

    def variables_of_libraries(self) -> set[str]:
        """Environment variables that the code met of libraries reads."""
        return self._read

    # whose code it is

    def _place(self, module: str) -> Place:
        place = place_of(module)
        foreign = place is Place.LIBRARY and module.partition(".")[0] not in self._of_models
        return Place.TOOLCHAIN if foreign else place

    def _place_of(self, function: types.FunctionType) -> Place:
        """By the file of its code: ``functools.wraps`` makes functions say that they are of another module."""
        file = function.__code__.co_filename
        if not is_installed(file) or (is_generated(function) and not made_by_library(function)):
            return Place.USER
        place = self._place(function.__module__ or "")
        return Place.TOOLCHAIN if place is Place.USER and not is_generated(function) else place

    # values

    def _say(self, value: Any, seen: dict[int, int], *, strict: bool) -> object:
        """Something whose repr is the same for the same content; ``seen`` are the objects met on the way, numbered.

        What is unknown is an error if ``strict``; else its type is all that is said.
        """
        kind = type(value)
        if kind is str:
            return "str", relative_to_root(value, self._root)
        if kind in KINDS:
            return kind.__name__, repr(value)
        if isinstance(value, Enum):
            return "enum", self._class(kind), value.name, self._say(value._value_, seen, strict=strict)
        if id(value) in seen:
            return "again", seen[id(value)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type) and not isinstance(value, TYPING):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return self._whole_module(value, strict=strict)
        if value is os.environ and strict:
            raise Uncertain("something holds all environment variables")
        if isinstance(value, BUILTIN):
            self._library(getattr(value, "__module__", None) or "")
            return "builtin", getattr(value, "__qualname__", ""), getattr(value, "__module__", None) or ""
        seen[id(value)] = len(seen)
        self._kept.append(value)
        if isinstance(value, torch.Tensor):
            return self._tensors.describe(value, lambda other: self._say(other, seen, strict=strict))
        if isinstance(value, nn.Module):
            return self._module(value, seen)
        return self._container(value, seen, strict=strict)

    def _container(self, value: object, seen: dict[int, int], *, strict: bool) -> object:
        def say(inner: object) -> object:
            return self._say(inner, seen, strict=strict)

        parts = parts_of(value)
        if parts is not None:
            kind, inner = parts
            if isinstance(value, set | frozenset):
                return kind, sorted(repr(say(item)) for item in inner)
            if type(value) is LRU_CACHE and self._place(value.__module__ or "") is Place.USER:
                inner += kept_by(value)
            return kind, [say(item) for item in inner]
        kind = type(value).__qualname__
        if isinstance(value, PurePath):
            return describe_path(value, self._root)
        if isinstance(value, BY_NAME):
            return kind, getattr(value, "name", None) or getattr(value, "__name__", "")
        if isinstance(value, TYPING):
            return kind, repr(value)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and not hasattr(value, "__dict__"):
            return kind, say(wrapped)
        operator = describe_operator(value)
        if operator is not None:
            return "operator", say(operator)
        return self._object(value, seen, strict=strict)

    def _object(self, value: object, seen: dict[int, int], *, strict: bool) -> object:
        array = describe_array(value)
        if array is not None:
            return array
        if isinstance(value, torch.Generator):
            return "generator", self._say(value.get_state(), seen, strict=strict)
        kind = type(value)
        self._library(getattr(value, "__module__", None) or "")
        if strict and keeps_more(kind):
            raise Uncertain(f"the content of a {kind.__module__}.{kind.__qualname__} can't be determined")
        attributes = dict(attributes_of(value))
        said = [
            (name, self._say(item, seen, strict=strict)) for name, item in attributes.items() if name not in _ORIGIN
        ]
        return "object", self._class(kind), said

    def _module(self, module: nn.Module, seen: dict[int, int]) -> object:
        if isinstance(module, torch.jit.ScriptModule):
            raise Uncertain("the model holds a torch.jit.ScriptModule, whose code can't be determined")
        said: list[object] = []
        self._of_models |= {cls.__module__.partition(".")[0] for cls in type(module).__mro__}
        tables = [value for name, value in vars(module).items() if "_hooks" in name and isinstance(value, dict)]
        hooks = {key for table in tables for key in table}
        places = {key: place for place, key in enumerate(sorted(hooks))}
        for name, value in vars(module).items():
            if name in _TORCH_PARTS:
                said += [(name, key, self._say(item, seen, strict=True)) for key, item in value.items()]
            elif "_hooks" in name and isinstance(value, dict):
                # By place: torch counts the keys of hooks through the whole process.
                said.append((name, [(places[key], self._say(item, seen, strict=True)) for key, item in value.items()]))
            elif name not in _ORIGIN:
                said.append((name, self._say(value, seen, strict=True)))
        return "module", self._class(type(module)), said

    # functions and classes

    def _function(self, function: types.FunctionType, *, name: str = "") -> str:
        """Name and digest of a function, which is kept to be followed."""
        said = self._digest_of(function, name=name)
        if id(function) not in self._followed and self._place_of(function) is not Place.TOOLCHAIN:
            self._followed.add(id(function))
            self._fact(function.__code__.co_filename, said)
            self._queue.append(function)
        return said

    def _digest_of(self, function: types.FunctionType, *, name: str = "") -> str:
        identity = id(function)
        said = f"function {function.__module__ or ''}:{function.__qualname__}"
        if identity in self._open:
            return said
        if identity not in self._digests:
            self._kept.append(function)
            digest = self._libraries.digest_of(function, said) or self._look_into(function, said)
            self._digests[identity] = f"{said} {digest}"
            if identity not in self._functions and function.__module__:
                self.packages.add(function.__module__.partition(".")[0])
        if identity in self._functions:
            known = self._functions[identity]
            known.names.add(name or function.__name__)
            known.always |= not name
        return self._digests[identity]

    def _look_into(self, function: types.FunctionType, said: str) -> str:
        code = read_code(function.__code__)
        own = self._place_of(function) is Place.USER
        with self._opened(id(function)):
            digest = _hash((said, self._parts_of(function, code.digest, strict=own)))
        if not own:
            self._libraries.keep(function, said, digest)
            return digest
        label = f"{function.__qualname__} in {file_name(function.__code__.co_filename)}"
        self._by_identity[id(function)] = function
        variables, computed = code.reads.variables, code.reads.computed
        doubts = ["reads environment variables by computed names"] if computed else []
        self._functions[id(function)] = Function(label, {function.__name__}, code.names, variables, doubts)
        return digest

    def _parts_of(self, function: types.FunctionType, code: str, *, strict: bool) -> list[object]:
        """What makes a function beside its names."""
        cells = [cell_content(cell) for cell in function.__closure__ or ()]
        further = {name: value for name, value in vars(function).items() if name not in ("__wrapped__", _ADDRESS)}
        return [
            code,
            [self._say(cell, {}, strict=strict) for cell in cells],
            self._say(function.__defaults__, {}, strict=strict),
            self._say(function.__kwdefaults__, {}, strict=strict),
            self._say(further, {}, strict=strict),
            self._say(vars(function).get("__wrapped__"), {}, strict=False),
        ]

    def _class(self, cls: type) -> str:
        """Name and digest of a class with all that it defines and inherits."""
        identity = id(cls)
        if identity in self._digests:
            return self._digests[identity]
        said = f"class {cls.__module__}:{cls.__qualname__}"
        place = self._place(cls.__module__)
        made_from_text = cls.__module__ == "builtins" and bool(cls.__flags__ & _HEAP_TYPE)
        self._library(cls.__module__)
        if (place is Place.TOOLCHAIN and not made_from_text) or identity in self._open:
            return said
        self._kept.append(cls)
        with self._opened(identity):
            parts: list[object] = [self._class(base) for base in (type(cls), *cls.__bases__)]
            parts += self._own_members(cls) if made_from_text or place is Place.USER else self._members(cls)
        self._digests[identity] = f"{said} {_hash(parts)}"
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        self._fact(file or cls.__module__, self._digests[identity])
        return self._digests[identity]

    def _members(self, cls: type) -> Iterator[object]:
        """Of a library's class: methods run where something names them."""
        members = self._libraries.members_of(cls)
        yield members.rest
        for name, function in members.functions:
            called = _called(cls, name)
            if is_way_in(called) or (called in self._named_so_far and called == name):
                yield name, self._function(function, name=called)
            else:
                if called == name:
                    self._waiting.setdefault(name, []).append(function)
                yield name, self._digest_of(function, name=called)
        yield from ((name, self._say(value, {}, strict=False)) for name, value in members.others)

    def _own_members(self, cls: type) -> Iterator[object]:
        """Of a class of the user's: all of it counts."""
        for name in member_names(cls):
            value = vars(cls)[name]
            value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if isinstance(value, types.FunctionType):
                yield name, self._function(value, name=_called(cls, name))
                continue
            try:
                yield name, self._say(value, {}, strict=True)
            except Uncertain as error:
                doubt = f"is read: {error}"
                self._held.append(Function(f"{cls.__qualname__}.{name}", {name}, frozenset(), frozenset(), [doubt]))
                yield name, self._say(value, {}, strict=False)

    @contextmanager
    def _opened(self, identity: int) -> Iterator[None]:
        """While a function or class is looked at, which may lead back to it."""
        self._open.add(identity)
        try:
            yield
        finally:
            self._open.discard(identity)

    def _library(self, module: str) -> None:
        """A module from which something is used: its package by version, a native one of the user's own by content."""
        self.packages.add(module.partition(".")[0])
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and not file.endswith(".py") and self._place(module) is Place.USER and Path(file).is_file():
            self._fact(file, f"native {module} {describe_path(Path(file), self._root)}")

    def _fact(self, file: str, fact: str) -> None:
        self._facts.setdefault(file_name(file), set()).add(fact)

    def _whole_module(self, module: types.ModuleType, *, strict: bool) -> object:
        """A module that is used as a value: of the user's own everything in it may be read."""
        name = module.__name__
        self._library(name)
        if self._place(name) is Place.USER and id(module) not in self._open:
            self._open.add(id(module))
            for key, value in list(vars(module).items()):
                if not key.startswith("__") or key == "__getattr__":
                    said = self._say(value, {}, strict=False)
                    self._fact(getattr(module, "__file__", None) or name, f"global {name}.{key} {said!r}")
        return "python module", name

    # what functions name

    def _follow(self, function: types.FunctionType) -> None:
        code = read_code(function.__code__)
        scope = function.__globals__
        module = scope.get("__name__", "")
        known = self._functions.get(id(function))  # of the user's, of whose code nothing may be left open
        fresh = code.names - self._named_so_far
        self._named_so_far |= fresh
        for name in fresh:
            for method in self._waiting.pop(name, ()):
                self._function(method, name=name)
        builtins = scope.get("__builtins__", {})
        builtins = builtins if isinstance(builtins, dict) else vars(builtins)
        chains: Iterable[tuple[str, ...]] = code.reads.chains
        if known is None:  # what one function of a library finds in its module, the others do, too
            before = self._resolved.setdefault(id(scope), set())
            chains = [chain for chain in chains if chain not in before]
            before.update(chains)
        for chain in chains:
            if chain[0] in scope:
                dotted, value = resolve(chain, scope[chain[0]])
            elif chain[0] in builtins:
                dotted, value = chain[0], builtins[chain[0]]
                if getattr(value, "__module__", None) == "builtins" or not isinstance(value, types.FunctionType):
                    if known is not None and (doubt := doubt_of(dotted, builtin=True)):
                        known.doubts.append(doubt)
                    if known is not None and dotted == "globals":
                        self._whole_module(sys.modules[module], strict=True)
                    continue
            else:
                continue
            if known is not None:
                dotted = public(dotted, value)
                own = self._place(dotted.rpartition(".")[0]) is Place.USER
                if doubt := doubt_of(dotted, builtin=False, own=own):
                    known.doubts.append(doubt)
                    continue
            self._named(function, module, ".".join(chain), value, strict=known is not None)
        if known is None:  # what a library imports when it runs is its own, and may not be loaded yet
            self._read |= code.reads.variables
            return
        for name, attribute, level in code.reads.imports:
            with suppress(Exception):  # what can't be imported fails when it runs, too
                absolute = importlib.util.resolve_name("." * level + name, scope.get("__package__"))
                self._imported(function, absolute, attribute, known)

    def _imported(self, function: types.FunctionType, name: str, attribute: str, known: Function | None) -> None:
        """An import that a function of the user's makes: the forward pass would make it, too."""
        own = self._place(name) is Place.USER
        # What exporting loads is looked at where nothing was exported, too; other libraries only if they are loaded.
        loads = own or name.partition(".")[0] in TOOLCHAIN
        module = importlib.import_module(name) if loads else sys.modules.get(name)
        if module is None:
            return
        if own and attribute and not hasattr(module, attribute):
            importlib.import_module(f"{name}.{attribute}")
        own = own and self._place(name) is Place.USER  # it may be of a package that was not loaded before
        value = getattr(module, attribute, None) if attribute else None
        dotted = f"{name}.{attribute}" if attribute else name
        if known is not None and (doubt := doubt_of(dotted, builtin=False, own=own)):
            known.doubts.append(doubt)
        elif value is not None:
            self._named(function, name, attribute, value, strict=True)
        elif not attribute:
            for end in range(1, name.count(".") + 2):
                self._whole_module(sys.modules[".".join(name.split(".")[:end])], strict=True)

    def _named(self, function: types.FunctionType, module: str, name: str, value: object, *, strict: bool) -> None:
        """One thing that a function reads."""
        last = name.rpartition(".")[2]
        if value is os.environ or value is os.getenv:  # what is read under these names is known
            if not {*name.split(".")} & {*ENVIRONMENT} and id(function) in self._functions:
                self._functions[id(function)].doubts.append("reads environment variables under another name")
            return
        if isinstance(value, types.FunctionType):
            said: object = self._function(value, name=last)
        elif strict:
            try:
                said = self._say(value, {}, strict=True)
            except Uncertain as error:
                if id(function) in self._functions:
                    self._functions[id(function)].doubts.append(f"reads {name}: {error}")
                return
        elif isinstance(value, type):
            said = self._class(value)
        elif isinstance(value, (str, Enum, types.BuiltinFunctionType, functools.partial, LRU_CACHE, *PLAIN)):
            said = self._say(value, {}, strict=False)
        elif isinstance(value, MutableMapping) and value is not sys.modules:  # what is loaded meanwhile decides nothing
            said = self._table(value)
        else:
            return
        self._fact(function.__code__.co_filename, f"global {module}.{name} {said!r}")

    def _table(self, table: MutableMapping[object, object]) -> list[tuple[str, str]]:
        """What stands in a library's table of functions; many of its functions name the same one."""
        if id(table) not in self._tables:
            self._kept.append(table)
            items = dict.items(table) if isinstance(table, dict) else table.items()
            entries = sorted((str(key), self._entry(item)) for key, item in items if isinstance(item, _IN_TABLES))
            self._tables[id(table)] = entries
        return self._tables[id(table)]

    def _entry(self, value: Any) -> str:
        """What stands in a library's table of functions: which of its own, or what was put in their place."""
        if isinstance(value, functools.partial):
            return repr(self._say(value, {}, strict=False))
        return f"{value.__module__}.{value.__qualname__}"


def _called(cls: type, method: str) -> str:
    """By which name a method is called: making an object runs its class's __init__, by the name of the class."""
    return cls.__name__ if method in ("__init__", "__new__") else method


def _hash(said: object) -> str:
    return _digest(repr(said))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
