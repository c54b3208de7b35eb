"""What may run while a model is exported, and what of it can't be determined beforehand: files, clocks, chance.

Classes are looked at whole, and many have methods that never run in a forward pass (``save``, ``from_checkpoint``).
A function may run if it is a way in, or if something that may run names it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

# Called by Python or by nn.Module without being named anywhere, but for those that write, copy and show objects.
_WAYS_IN = re.compile(
    r"^(forward|__(?!(new|init|del|repr|str|format|dir|copy|deepcopy|reduce|reduce_ex|getstate|setstate|getnewargs"
    r"|getnewargs_ex|sizeof|init_subclass|set_name|prepare)__)\w+__)$"
)
# What calls methods and reads attributes by names that nobody can tell.
_BY_COMPUTED_NAMES = frozenset(("getattr", "attrgetter", "methodcaller", "vars", "__dict__", "globals", "locals"))

_BUILTINS = {
    "open": "reads files", "eval": "runs text as code", "exec": "runs text as code",
    "__import__": "imports by a computed name", "input": "asks the user",
}  # fmt: skip
_MODULES = {
    "time": "reads the clock", "datetime": "reads the clock", "random": "draws random numbers in Python",
    "secrets": "draws random numbers in Python", "uuid": "draws random numbers in Python",
    "socket": "uses the network", "urllib": "uses the network", "http": "uses the network",
    "requests": "uses the network",
    "subprocess": "starts processes", "multiprocessing": "starts processes", "threading": "starts threads",
    "os": "asks the operating system", "pathlib": "reads files", "io": "reads files", "glob": "reads files",
    "pickle": "reads files", "sqlite3": "reads files", "shutil": "reads files", "tempfile": "reads files",
    "importlib": "imports by a computed name", "ctypes": "calls native code", "gc": "asks the interpreter",
    "inspect": "asks the interpreter", "sys": "asks the interpreter", "platform": "asks the operating system",
}  # fmt: skip
# Modules of the standard library whose functions give the same for the same arguments.
_PURE = frozenset((
    "__future__", "_abc", "_collections", "_collections_abc", "_functools", "_heapq", "_bisect", "_operator", "_struct",
    "_thread", "_warnings", "_weakref", "_weakrefset", "abc", "array", "base64", "binascii", "bisect", "builtins",
    "cmath", "collections", "colorsys", "contextlib", "contextvars", "copy", "copyreg", "dataclasses", "decimal",
    "difflib", "dis", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "itertools", "json", "keyword",
    "logging", "math", "numbers", "opcode", "operator", "pprint", "re", "reprlib", "statistics", "string", "struct",
    "textwrap", "traceback", "types", "typing", "unicodedata", "warnings", "weakref", "zlib",
))  # fmt: skip
_HARMLESS = ("os.environ", "os.getenv", "os.path.join", "os.path.basename", "os.fspath", "posixpath.join",
             "posixpath.basename", "ntpath.join", "ntpath.basename", "sys.maxsize", "sys.version_info", "random.Random",
             "datetime.timedelta", "io.StringIO", "io.BytesIO", "pathlib.PurePath", "threading.Lock", "threading.RLock",
             "threading.local", "sys.modules", "inspect.Parameter")  # fmt: skip
_NUMPY_CHANCE = "numpy.random"
_SEED = re.compile(r"^torch\.(\w+\.)?(initial_seed|seed|get_rng_state)$")
_HUB = "torch.hub"
_READERS = re.compile(r"\.(load|loadtxt|load_file|load_library|open|safe_open|read|read_\w+|fromfile|from_file|memmap|"
                      r"open_memmap|genfromtxt|fromregex|imread|get_data|from_pretrained)$")  # fmt: skip


@dataclass
class Function:
    """One function of the user's.

    Attributes:
        names: by which it may be called. reads: all names that it reads. variables: of the environment that it reads.
        doubts: what can't be determined of it. always: it may run whoever names it.
    """

    label: str
    names: set[str]
    reads: frozenset[str]
    variables: frozenset[str]
    doubts: list[str] = field(default_factory=list)
    always: bool = False


def doubt_of(dotted: str, *, builtin: bool, own: bool = False) -> str | None:
    """Why what is read by a dotted name makes an export depend on more than can be determined; None if it doesn't.

    Args:
        dotted: its full name.
        builtin: it is one of Python's builtins.
        own: it is the user's, and looked into.
    """
    if builtin:
        return _BUILTINS.get(dotted)
    if own or dotted.startswith(_HARMLESS):
        return None
    if dotted.startswith(_NUMPY_CHANCE) or _SEED.match(dotted):
        return "draws random numbers in Python"
    if dotted.startswith(_HUB) or _READERS.search(dotted):
        return "reads files"
    module = dotted.partition(".")[0]
    unknown = module in sys.stdlib_module_names - _PURE
    return _MODULES.get(module, f"calls {module}, whose answers can't be determined" if unknown else None)


def is_way_in(name: str) -> bool:
    """Whether a method of this name runs without being named anywhere."""
    return _WAYS_IN.match(name) is not None


def may_run(functions: Iterable[Function]) -> list[Function]:
    """Those of the functions that may run."""
    waiting = list(functions)
    running: list[Function] = []
    named: set[str] = set()
    while True:
        anything = not named.isdisjoint(_BY_COMPUTED_NAMES)
        ready = [f for f in waiting if anything or f.always or any(n in named or is_way_in(n) for n in f.names)]
        if not ready:
            return running
        running += ready
        waiting = [f for f in waiting if f not in ready]
        named = named.union(*(f.reads for f in ready))


def first_doubt(running: Iterable[Function]) -> str | None:
    """The first thing that can't be determined, for people."""
    return next((f"{function.label} {function.doubts[0]}" for function in running if function.doubts), None)


def variables_of(running: Iterable[Function]) -> set[str]:
    """Names of environment variables that the functions read."""
    return {name for function in running for name in function.variables}
