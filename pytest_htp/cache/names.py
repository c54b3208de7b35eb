"""What names lead to, and what objects hold under names."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import suppress


def resolve(chain: tuple[str, ...], value: object) -> tuple[str, object]:
    """What a chain of attributes of modules leads to, with its full name; stops at what is no module."""
    dotted = value.__name__ if isinstance(value, types.ModuleType) else ""
    for name in chain[1:]:
        if not isinstance(value, types.ModuleType):
            break
        found = vars(value).get(name)
        if found is None and type(value).__module__ == "torch._ops":
            found = getattr(value, name, None)  # made when first asked for
        if found is None:
            break
        dotted, value = f"{dotted}.{name}", found
    return dotted, value


def public(dotted: str, value: object) -> str:
    """The name of something that a function may have imported by another one."""
    if isinstance(value, types.ModuleType) or dotted:
        return dotted
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""


def cell_content(cell: types.CellType) -> object:
    """What a closure's cell holds; None for one that is still empty."""
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None


def attributes_of(value: object) -> Iterator[tuple[str, object]]:
    """An object's own attributes, those in slots first."""
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                mangled = f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and name[-2:] != "__" else name
                with suppress(AttributeError):
                    yield name, getattr(value, mangled)
    yield from getattr(value, "__dict__", {}).items()
