# ruff: noqa: E501 - a model a line
# fmt: off
"""Small models, each of which depends on one number (``VALUE``) in a way that a key could miss.

The number is never a weight, an input or an option: it is in what code, objects or the interpreter hold.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch

from pytest_htp.cache import surroundings
from pytest_htp.cache.request import Request
from pytest_htp.capture.models import resolve_model
from pytest_htp.exporter.options import ExportOptions


def key_of_source(text: str, number: float) -> str:
    """The key of an export of the module's ``Net``, after ``build`` set what its code does not mention."""
    module = ModuleType("bench_net")
    module.__file__ = str(Path(tempfile.gettempdir(), "bench_net.py"))
    sys.modules["bench_net"] = module
    exec(compile(text.replace("VALUE", str(number)), module.__file__, "exec"), vars(module))
    torch.manual_seed(0)
    net = module.Net()
    module.build(net)
    return _key(net, torch.ones(4, 6))


def key_of_files(files: dict[str, str], number: float) -> str:
    """The key of an export of ``benchpkg.net.Net``, on disk beside an installed package whose version is the number."""
    with tempfile.TemporaryDirectory() as temporary, mock.patch.object(sys, "path", [*sys.path]):
        installed = Path(temporary, "site-packages")
        _write(Path(temporary, "benchpkg"), {name: text.replace("VALUE", str(number)) for name, text in files.items()})
        _write(installed / "toolpkg", {"__init__.py": f"class Tool:\n    def by(self): return {number}\n"})
        about = f"Metadata-Version: 2.1\nName: toolpkg\nVersion: {number}\n"
        _write(installed / "toolpkg-1.dist-info", {"METADATA": about, "top_level.txt": "toolpkg\n"})
        sys.path[:0] = [temporary, str(installed)]
        for name in [name for name in sys.modules if name.startswith(("benchpkg", "toolpkg"))]:
            del sys.modules[name]
        importlib.invalidate_caches()
        surroundings._owners.cache_clear()
        surroundings._version.cache_clear()
        return _key(importlib.import_module("benchpkg.net").Net(), torch.ones(2, 3))


def _key(net: torch.nn.Module, x: torch.Tensor) -> str:
    return Request.of(resolve_model(net), {"x": x}, ExportOptions.from_mapping({})).key


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)

_HEAD = """
import contextvars, functools, itertools, os, random, re, types, typing
from collections import UserDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F
"""
_NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return self.linear(x) * {factor}

def build(self):
    {init}
"""


def _net(factor: str, before: str = "", init: str = "pass") -> str:
    return _HEAD + before + _NET.format(factor=factor, init=init)


# kind → source; where the change can be told, so that the same number gives the same key again
TOLD = {
    "partial": _net("scaled(x)", "def s(x, by): return x * by\nscaled = functools.partial(s, by=VALUE)"),
    "partial in a module": _net("self.f(x)", "def s(x, by): return x * by", "self.f = functools.partial(s, by=VALUE)"),
    "keyword default": _net("s(x)", "def s(x, *, by=VALUE): return x * by"),
    "default that is changed": _net("s(x)", "def s(x, by=1): return x * by\ns.__defaults__ = (VALUE,)"),
    "attribute of a function": _net("s.by", "def s(): pass\ns.by = VALUE"),
    "replaced code": _net(
        "s(x)", "def s(x): return x\ndef t(x): return x * VALUE\ns.__code__ = t.__code__"
    ),
    "decorated function": _net(
        "s(x)",
        "def by(n):\n    def wrap(f):\n        @functools.wraps(f)\n        def inner(x): return f(x) * n\n"
        "        return inner\n    return wrap\n@by(VALUE)\ndef s(x): return x",
    ),
    "metaclass attribute": _net("type(self.c).BY", "class M(type): BY = VALUE\nclass C(metaclass=M): pass", "self.c = C()"),
    "metaclass property": _net(
        "C.by", "class M(type):\n    @property\n    def by(cls): return VALUE\nclass C(metaclass=M): pass"
    ),
    "descriptor": _net(
        "self.by",
        "class D:\n    def __init__(self, n): self.n = n\n    def __get__(self, one, owner): return self.n\n"
        "class HasD(nn.Module): by = D(VALUE)",
    ).replace("class Net(nn.Module)", "class Net(HasD)"),
    "module getattr": _net("self.by", "class G(nn.Module):\n    def __getattr__(self, name):\n"
        "        return VALUE if name == 'by' else super().__getattr__(name)").replace("Net(nn.Module)", "Net(G)"),
    "class of a named tuple": _net(
        "self.c.by()", "class C(typing.NamedTuple):\n    n: float = 1.0\n    def by(self): return self.n * VALUE", "self.c = C()"
    ),
    "subclass of dict": _net(
        "self.c.by", "class C(dict):\n    def __getattr__(self, name): return self['n'] * VALUE", "self.c = C(n=1.0)"
    ),
    "subclass of list": _net("self.c.by()", "class C(list):\n    def by(self): return self[0] * VALUE", "self.c = C([1.0])"),
    "subclass of tuple with an attribute": _net(
        "self.c.by", "class C(tuple): pass", "self.c = C([1.0]); self.c.by = VALUE"
    ),
    "subclass of float": _net(
        "self.c.by()", "class C(float):\n    def by(self): return self * VALUE", "self.c = C(1.0)"
    ),
    "subclass of float with an attribute": _net("self.c.by", "class C(float): pass", "self.c = C(1.0); self.c.by = VALUE"),
    "subclass of str with an attribute": _net("self.c.by", "class C(str): pass", "self.c = C('a'); self.c.by = VALUE"),
    "subclass of float with a repr": _net(
        "self.c", "class C(float):\n    def __repr__(self): return 'C'", "self.c = C(VALUE)"
    ),
    "value of an enum": _net("self.mode.value", "class Mode(Enum): FAST = VALUE", "self.mode = Mode.FAST"),
    "method of an enum": _net(
        "self.mode.by()", "class Mode(Enum):\n    FAST = 1\n    def by(self): return VALUE", "self.mode = Mode.FAST"
    ),
    "factory of a defaultdict": _net("self.d['x']", "", "self.d = defaultdict(functools.partial(float, VALUE))"),
    "limit of a deque": _net("self.d.maxlen", "", "self.d = deque([1], maxlen=int(1000 * VALUE))"),
    "long regular expression": _net(
        "(2 if R.match('a' * 300 + 'b' + str(VALUE)) else 3)", "R = re.compile('a' * 300 + 'b' + re.escape('VALUE'))"
    ).replace("str(VALUE)", "'7'"),
    "slice of tensors": _net("self.s.start", "", "self.s = slice(torch.tensor(VALUE), None)"),
    "generator of Python": _net("R.random()", "R = random.Random(VALUE)"),
    "generator of PyTorch": _net("torch.rand(6, generator=G)", "G = torch.Generator().manual_seed(int(1000 * VALUE))"),
    "numpy array": _net("torch.from_numpy(A)", "A = np.ones(6, dtype=np.float32) * VALUE"),
    "global tensor": _net("T", "T = torch.ones(6) * VALUE"),
    "attribute of a tensor": _net("self.linear.weight.by", "", "self.linear.weight.by = VALUE"),
    "object with slots": _net("self.o.by", "class O:\n    __slots__ = ('by',)", "self.o = O(); self.o.by = VALUE"),
    "dataclass": _net("self.o.by", "@dataclass\nclass O:\n    by: float = 1.0", "self.o = O(VALUE)"),
    "default of a dataclass": _net("O().by", "@dataclass\nclass O:\n    by: float = VALUE"),
    "factory of a dataclass": _net("O().by[0]", "@dataclass\nclass O:\n    by: list = field(default_factory=lambda: [VALUE])"),
    "namespace": _net("C.a.by", "C = types.SimpleNamespace(a=types.SimpleNamespace(by=VALUE))"),
    "mapping of functions": _net("T['s'](x)", "T = {'s': lambda x: x * VALUE}"),
    "class attribute of functions": _net("self.T['s'](x)").replace(
        "    def __init__", "    T = {'s': lambda x: x * VALUE}\n    def __init__", 1
    ),
    "singledispatch": _net(
        "s(x)", "@functools.singledispatch\ndef s(x): return x\n@s.register\ndef _(x: torch.Tensor): return x * VALUE"
    ),
    "lru_cache": _net("s(6)", "@functools.lru_cache\ndef s(n): return torch.ones(n) * VALUE"),
    "filled lru_cache": _net(
        "s(6)", "BY = VALUE\n@functools.lru_cache\ndef s(n): return torch.ones(n) * BY\ns(6)\nBY = 1"
    ),
    "filled cache": _net("s(6)", "BY = VALUE\n@functools.cache\ndef s(n): return torch.ones(n) * BY\ns(6)\nBY = 1"),
    "cached property": _net("self.by").replace(
        "    def forward", "    @functools.cached_property\n    def by(self): return VALUE\n\n    def forward"
    ),
    "partialmethod": _net("self.s(x)").replace(
        "    def forward", "    def t(self, x, by): return x * by\n    s = functools.partialmethod(t, by=VALUE)\n\n    def forward"
    ),
    "bound method": _net("self.f(x)", "class O:\n    def __init__(self): self.by = VALUE\n    def s(self, x): return x * self.by",
        "self.f = O().s"),
    "callable object": _net("self.f(x)", "class O:\n    def __call__(self, x): return x * VALUE", "self.f = O()"),
    "name that is looked up": _net("globals()['B' + 'Y']", "BY = VALUE"),
    "attribute that is looked up": _net("getattr(C, 'b' + 'y')", "class C: by = VALUE"),
    "exec at import": _net("s(x)", "exec('def s(x): return x * VALUE')"),
    "nested function": _net("s(x)", "def s(x):\n    def t(y): return y * VALUE\n    return t(x)"),
    "generator expression": _net("sum(n for n in (VALUE, 1))"),
    "autograd function": _net(
        "A.apply(x)", "class A(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): return x * VALUE"
    ),
    "custom operator": _net(
        "torch.ops.benchnet.scaled(x)",
        "@torch.library.custom_op('benchnet::scaled', mutates_args=())\n"
        "def scaled(x: torch.Tensor) -> torch.Tensor: return x * VALUE\n"
        "@scaled.register_fake\ndef _(x): return torch.empty_like(x)",
    ),
    "parametrization": _net(
        "x", "class P(nn.Module):\n    def forward(self, w): return w * VALUE",
        "torch.nn.utils.parametrize.register_parametrization(self.linear, 'weight', P())",
    ),
    "flag of a hook": _net("x", "def hook(m, *rest): return rest[-1] * VALUE", "self.linear.register_forward_hook(hook)"),
}

# kind → source; whose content nobody can tell: exported each time
UNTOLD = {
    "counter": _net("next(C)", "C = itertools.count(VALUE)"),
    "iterator": _net("next(C)", "C = iter([VALUE])"),
    "generator of numpy": _net("R.random()", "R = np.random.default_rng(int(1000 * VALUE))"),
    "generator of numpy in a class": _net("self.R.random()").replace(
        "    def __init__", "    R = np.random.default_rng(int(1000 * VALUE))\n    def __init__", 1
    ),
    "counter in a class": _net("next(self.C)").replace(
        "    def __init__", "    C = itertools.count(VALUE)\n    def __init__", 1
    ),
    "seed": _net("torch.initial_seed() % 7", "torch.manual_seed(int(1000 * VALUE))"),
    "context variable": _net("V.get()", "V = contextvars.ContextVar('v'); V.set(VALUE)"),
    "bytearray": _net("B[0]", "B = bytearray(b'%d' % int(1000 * VALUE))"),
}

_PACKAGE_NET = _HEAD + "class Net(nn.Module):\n    def forward(self, x):\n        {body}\n        return x * {factor}\n"


def _package(factor: str, body: str = "pass", **files: str) -> dict[str, str]:
    """Files of a package ``benchpkg`` whose ``net.py`` has the model; further ones by name."""
    named = {name.replace("__dot__", "."): text for name, text in files.items()}
    plain = {name if "." in name else f"{name}.py": text for name, text in named.items()}
    return {
        "__init__.py": "",
        "net.py": _PACKAGE_NET.format(body=body, factor=factor),
        "settings.py": "BY = VALUE",
        **plain,
    }


# kind → files; told, as above
TOLD_FILES = {
    "import in forward": _package("settings.BY", "from benchpkg import settings"),
    "relative import in forward": _package("BY", "from .settings import BY"),
    "relative import of a module": _package("settings.BY", "from . import settings"),
    "submodule in forward": _package("benchpkg.settings.BY", "import benchpkg.settings"),
    "package of a submodule": _package("benchpkg.BY", "import benchpkg.settings", __init__="BY = VALUE", settings="BY = 1"),
    "import under another name": _package("s.BY", "import benchpkg.settings as s"),
    "module with getattr": _package("settings.X", "from benchpkg import settings", settings="def __getattr__(n): return VALUE"),
    "name by getattr": _package("X", "from benchpkg.settings import X", settings="def __getattr__(n): return VALUE"),
    "module as a value": _package("getattr(settings, 'B' + 'Y')", "from benchpkg import settings"),
    "file at a global path": _package("float(FILE.read_text())", table__dot__txt="VALUE")
    | {"net.py": _PACKAGE_NET.format(body="pass", factor="float(FILE.read_text())") + "FILE = Path(__file__).with_name('table.txt')\n"},
    "installed package": _package("toolpkg.Tool().by()", "import toolpkg"),
}

_READ = "open(__file__.replace('net.py', 'table.txt'))"
UNTOLD_FILES = {
    kind: _package("1", table__dot__txt="VALUE")
    | {"net.py": _PACKAGE_NET.format(body="pass", factor=factor).replace("class Net", before + "\nclass Net")}
    for kind, factor, before in (
        ("file in forward", "float(open('table.txt').read())", ""),
        ("file read by numpy", "torch.from_numpy(np.loadtxt('table.txt'))", ""),
        ("file read by PyTorch", "torch.from_file('table.txt', size=1)", ""),
        ("file in a conversion", "float(O())", f"class O:\n    def __float__(self): return float({_READ}.read())"),
        ("file in a comparison", "(2 if O() < 1 else 3)", f"class O:\n    def __lt__(self, o): return float({_READ}.read()) < o"),
        ("file in a table of a class", "O.T['r']()", f"def read(): return float({_READ}.read())\nclass O: T = {{'r': read}}"),
        ("file by a looked up method", "getattr(O(), 'r' + 'ead')()", f"class O:\n    def read(self): return float({_READ}.read())"),
        ("lines of a file", "float(linecache.getline('table.txt', 1))", "import linecache"),
        ("whether a file is there", "(2 if exists('table.txt') else 3)", "from os.path import exists"),
        ("clock", "time()", "from time import time"),
        ("environment by a constant", "float(os.environ.get(NAME, 1))", "NAME = 'BENCH_by'"),
        ("environment under another name", "float(E.get('by', 1))", "E = os.environ"),
        ("environment as a whole", "len(dict(os.environ))", ""),
    )
}

NATIVE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *by(PyObject *self, PyObject *args) { return PyFloat_FromDouble(VALUE); }
static PyMethodDef methods[] = {{"by", by, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "benchnative", NULL, -1, methods};
PyMODINIT_FUNC PyInit_benchnative(void) { return PyModule_Create(&module); }
"""
NATIVE_NET = _HEAD + "import benchnative\n" + _NET.format(factor="benchnative.by()", init="pass")
