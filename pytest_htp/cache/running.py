"""What may run while a model is exported, and what of it can't be determined beforehand: files, clocks, chance.

Classes are looked at whole, and many have methods that never run in a forward pass (``save``, ``from_checkpoint``).
A function may run if it is a way in, or if something that may run names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Called by Python or by nn.Module without being named anywhere.
_WAYS_IN = re.compile(r"^(forward|__(call|getattr|getattribute|getitem|len|iter|bool|enter|exit|torch_function|"
                      r"torch_dispatch|post_init|get|set|contains|hash|eq|add|mul|sub|matmul|truediv)__)$")  # fmt: skip
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9]*_?[A-Z0-9_]*$")
_ENVIRONMENT = ("environ", "getenv", "environb")

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
_HARMLESS = ("os.environ", "os.getenv", "os.path.join", "os.path.basename", "os.fspath", "sys.maxsize",
             "sys.version_info", "random.Random",
             "datetime.timedelta", "io.StringIO", "io.BytesIO", "pathlib.PurePath",
             "threading.Lock",
             "threading.RLock", "threading.local", "sys.modules", "inspect.Parameter")  # fmt: skip
_NUMPY_CHANCE = "numpy.random"
_FILES = ("torch.load", "numpy.load", "torch.hub", "safetensors.torch.load_file", "json.load")


@dataclass
class Function:
    """One function of the user's.

    Attributes:
        names: by which it may be called. reads: all names that it reads. doubts: what can't be determined of it.
        texts: its text constants. always: it may run whoever names it.
    """

    label: str
    names: set[str]
    reads: frozenset[str]
    texts: tuple[str, ...]
    doubts: list[str] = field(default_factory=list)
    always: bool = False


def doubt_of(dotted: str, *, builtin: bool) -> str | None:
    """Why what is read by a dotted name makes an export depend on more than can be determined; None if it doesn't."""
    if builtin:
        return _BUILTINS.get(dotted)
    if dotted.startswith(_HARMLESS):
        return None
    if dotted.startswith(_NUMPY_CHANCE):
        return "draws random numbers in Python"
    if dotted.startswith(_FILES):
        return "reads files"
    return _MODULES.get(dotted.partition(".")[0])


def is_way_in(name: str) -> bool:
    """Whether a method of this name runs without being named anywhere."""
    return _WAYS_IN.match(name) is not None


def may_run(functions: Iterable[Function]) -> list[Function]:
    """Those of the functions that may run."""
    waiting = list(functions)
    running: list[Function] = []
    named: set[str] = set()
    while True:
        ready = [f for f in waiting if f.always or any(n in named or is_way_in(n) for n in f.names)]
        if not ready:
            return running
        running += ready
        waiting = [f for f in waiting if f not in ready]
        named = named.union(*(f.reads for f in ready))


def first_doubt(running: Iterable[Function]) -> str | None:
    """The first thing that can't be determined, for people."""
    for function in running:
        if function.doubts:
            return f"{function.label} {function.doubts[0]}"
        if not function.reads.isdisjoint(_ENVIRONMENT) and not any(map(_VARIABLE.match, function.texts)):
            return f"{function.label} reads environment variables by computed names"
    return None


def variables_of(running: Iterable[Function]) -> set[str]:
    """Names of environment variables that the functions may read: every text that could be one."""
    return {text for function in running for text in function.texts if _VARIABLE.match(text)}
