"""Values that hold no other values: how each is distinguished, and what is said of files and arrays."""

from __future__ import annotations

import hashlib
import sys
import threading
import types
import typing
from collections import namedtuple
from logging import Logger
from pathlib import Path, PurePath

import torch

from pytest_htp.cache import Uncertain

_Named = namedtuple("_Named", "a")
# Their repr is their content; those of which there are subclasses come with what a subclass adds.
PLAIN = (type(None), bool, int, float, complex, bytes, range, type(...), torch.dtype, torch.device,
         torch.layout, torch.memory_format)  # fmt: skip
KINDS = frozenset(PLAIN)
DERIVABLE = (str, bool, int, float, complex, bytes)
BY_NAME = (Logger, typing.TypeVar, typing.ParamSpec, type(threading.Lock()), type(threading.RLock()))
TYPING = (types.GenericAlias, types.UnionType, type(typing.Optional[int]), type(typing.List[int]))  # noqa: UP006, UP045
BUILTIN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
           types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
           type(vars(_Named)["a"]))  # fmt: skip


def describe_array(value: object) -> object | None:
    """A numpy array or element type by its content; None for anything else, and for arrays of objects."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray | numpy.generic) and not value.dtype.hasobject:
        content = hashlib.sha256(value.tobytes()).hexdigest()
        return "numpy", str(value.dtype), value.shape, getattr(value, "strides", ()), content
    return ("dtype", str(value)) if isinstance(value, numpy.dtype) else None


def describe_path(path: PurePath, root: str | None) -> object:
    """A file by its content; anything else by its name, relative to the project.

    Raises:
        Uncertain: it is a folder.
    """
    file = Path(path)
    if file.is_file():
        return "file", path.name, hashlib.sha256(file.read_bytes()).hexdigest()
    if file.is_dir():
        raise Uncertain(f"what is in the folder {path.name} can't be determined")
    return "path", relative_to_root(str(path), root)


def relative_to_root(text: str, root: str | None) -> str:
    """A text in which the project's folder is not named: it lies elsewhere on other machines."""
    return text.replace(root, "") if root is not None and root in text else text
