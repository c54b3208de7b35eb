"""Whose code something is, by where its file lies.

The user's code is looked at whole. Of an installed package the version is known; what is followed into it is the
code that models are made of. The toolchain (torch apart from what modules of ``torch.nn`` run, the exporter, the
standard library) is known by version and content of its files, and only looked through for patches.
"""

from __future__ import annotations

import sys
import sysconfig
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType

TOOLCHAIN = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "numpy", "pytest_htp", "pytest", "_pytest")
_OF_MODELS = ("torch.nn.modules", "torch.nn.functional", "torch.nn.utils", "torch.functional")
# Of packages of models what no forward pass runs: downloads with an identity for each process, servers, training.
_NOT_OF_MODELS = ("transformers.utils.hub", "transformers.generation.continuous_batching", "transformers.trainer",
                  "transformers.pipelines", "transformers.testing_utils")  # fmt: skip
_GENERATED = "<"  # how file names of code begin that was made at run time: dataclasses, named tuples, traced graphs


class Place(Enum):
    """Whose code it is."""

    USER = "user"
    LIBRARY = "library"
    TOOLCHAIN = "toolchain"


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots |= {entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    roots.add(str(Path(__file__).parent.parent))  # our own, whose files are read as a whole
    return tuple(f"{root}/" for root in {*roots, *(str(Path(root).resolve()) for root in roots)})


@lru_cache(maxsize=65_536)
def is_installed(filename: str) -> bool:
    """Whether a file is of an installed package or the standard library; generated code is nobody's, so it is too."""
    return filename.startswith((_GENERATED, *_installed())) or "/site-packages/" in filename.replace("\\", "/")


@lru_cache(maxsize=65_536)
def file_name(path: str) -> str:
    """The last part of a path."""
    return Path(path).name


def is_generated(function: FunctionType) -> bool:
    """Whether its code was made from text at run time, which is in no file."""
    return function.__code__.co_filename.startswith(_GENERATED)


def made_by_library(function: FunctionType) -> bool:
    """Whether generated code reads the names of an installed module: what it says of its origin may be copied."""
    module = sys.modules.get(str(function.__globals__.get("__name__")))
    if module is None or vars(module) is not function.__globals__:
        return False
    file = getattr(module, "__file__", None)
    return is_installed(file) if file else module.__name__.partition(".")[0] in sys.stdlib_module_names


_PLACES: dict[str, Place] = {}


def place_of(module: str) -> Place:
    """Where a module's code belongs."""
    if module not in sys.modules:  # it may be loaded yet, from anywhere
        return _find_place(module)
    if module not in _PLACES:
        _PLACES[module] = _find_place(module)
    return _PLACES[module]


def _find_place(module: str) -> Place:
    if module.startswith(_OF_MODELS):
        return Place.LIBRARY
    package = module.partition(".")[0]
    if module.startswith(_NOT_OF_MODELS) or package in TOOLCHAIN or package in sys.stdlib_module_names:
        return Place.TOOLCHAIN
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if found is None or not isinstance(found, ModuleType):
        return Place.USER
    return Place.LIBRARY if file is None or is_installed(file) else Place.USER
