"""What is kept of libraries' code says the same as a new look, whatever was changed in place meanwhile."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from pytest_htp.cache.libraries import Libraries
from pytest_htp.cache.walk import Walk

SOURCE = """
import functools
from torch import nn

GAIN = 2.0

def scaled(function):
    factor = 1.5

    @functools.wraps(function)
    def inner(self, x):
        return function(self, x) * factor

    return inner

def shift(x, by=1.0, *, times=1):
    return x + by * times

def other(x, by=1.0, *, times=1):
    return x - by * times

TABLE = {"shift": shift}

class Net(nn.Module):
    SCALE = 3.0
    NAMES = ("a", "b")
    __width = 4

    def forward(self, x, by=1):
        return self.first(shift(x)) * GAIN * self.width + TABLE["shift"](x)

    @scaled
    def first(self, x):
        return self.second(x) * self.SCALE

    @staticmethod
    def second(x):
        return x * 2

    @property
    def width(self):
        return 4
"""


def recoded(function: Any) -> None:
    function.__code__ = function.__code__.replace(
        co_consts=tuple(
            constant * 2 if type(constant) in (int, float) else constant for constant in function.__code__.co_consts
        )
    )


def renamed(cls: Any) -> None:
    cls.third = staticmethod(cls.second)
    del cls.second


CHANGES: dict[str, Callable[[Any], None]] = {
    "code of a function": lambda lib: setattr(lib.shift, "__code__", lib.other.__code__),
    "code of a static method": lambda lib: recoded(lib.Net.second),
    "code of a property": lambda lib: recoded(lib.Net.width.fget),
    "code below a decorator": lambda lib: setattr(lib.Net.first.__wrapped__, "__code__", lib.Net.forward.__code__),
    "default": lambda lib: setattr(lib.shift, "__defaults__", (2.0,)),
    "default of another kind": lambda lib: setattr(lib.shift, "__defaults__", (1,)),
    "only default": lambda lib: setattr(lib.Net.forward, "__defaults__", (True,)),
    "no default": lambda lib: setattr(lib.shift, "__defaults__", None),
    "keyword default": lambda lib: lib.shift.__kwdefaults__.update(times=2),
    "first keyword default": lambda lib: setattr(lib.Net.forward, "__kwdefaults__", {"times": 2}),
    "attribute of a function": lambda lib: setattr(lib.Net.forward, "factor", 2),
    "name of a function": lambda lib: setattr(lib.Net.forward, "__qualname__", "Net.backward"),
    "cell of a closure": lambda lib: setattr(lib.Net.first.__closure__[0], "cell_contents", 2.5),
    "what a decorator wraps": lambda lib: setattr(lib.Net.first, "__wrapped__", lib.other),
    "constant of a class": lambda lib: setattr(lib.Net, "SCALE", 4.0),
    "constant of another kind": lambda lib: setattr(lib.Net, "SCALE", 3),
    "method of another function": lambda lib: setattr(lib.Net, "second", staticmethod(lib.other)),
    "further method": lambda lib: setattr(lib.Net, "third", lib.other),
    "method under another name": lambda lib: renamed(lib.Net),
    "property": lambda lib: setattr(lib.Net, "width", property(lib.other)),
    "function of the module": lambda lib: setattr(lib, "shift", lib.other),
    "constant of the module": lambda lib: setattr(lib, "GAIN", 3.0),
    "entry of a table": lambda lib: lib.TABLE.update(shift=lib.other),
}  # fmt: skip


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A library that is installed in a folder of its own."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "kept_library.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "kept_library", raising=False)
    return importlib.import_module("kept_library")


def said(model: nn.Module, libraries: Libraries) -> object:
    walk = Walk(None, libraries)
    return walk.model(model), walk.code(), walk.packages, walk.variables_of_libraries()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_is_said_as_by_a_new_look(change: str, lib: Any) -> None:
    model, libraries = lib.Net(), Libraries()
    before = said(model, libraries)
    assert said(model, libraries) == before == said(model, Libraries())
    CHANGES[change](lib)
    after = said(model, libraries)
    assert after != before
    assert after == said(model, Libraries())


def test_the_second_look_finds_what_the_first_kept(lib: Any) -> None:
    libraries = Libraries()
    said(lib.Net(), libraries)
    assert libraries.digest_of(lib.Net.forward, "function kept_library:Net.forward") is not None
    for more_than_code in (lib.Net.first, lib.shift):
        name = f"function kept_library:{more_than_code.__qualname__}"
        assert libraries.digest_of(more_than_code, name) is None
    assert libraries.members_of(lib.Net) is libraries.members_of(lib.Net)
