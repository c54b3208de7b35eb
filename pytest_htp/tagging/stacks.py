"""Which module of the model a frame on a recorded call stack means, if any.

Recorded stacks come from a file or a tracer and are checked against the model: every frame must name a module
that exists and has the recorded class. Tracers spell some real modules in their own way, which is undone
here:

- strict-mode tracing puts the model below ``_export_root`` (torch/_export/utils.py) and may append the call
  (``@1``);
- iterating over a slice of a ``ModuleList`` gives ``layers.slice(1, None, None).0`` where a model shares
  modules (``AttrProxy.__getitem__`` in torch/fx/experimental/proxy_tensor.py), counted from the slice's
  start; a called slice of a ``Sequential`` is a temporary module, and its children keep their names;
- a compiled root goes by the class of torch.export's own wrapper around it (``_trace._aot_export_non_strict``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pytest_htp.capture.program import ProgramIndex
from pytest_htp.format.paths import join_path, last_segment, parent_of
from pytest_htp.vocabulary import ModuleInfo

_STRICT_ROOT = "_export_root"
_EXPORTS_OWN_ROOT = re.compile(r"torch\.export\._trace\..*\.Wrapper")
_CALL_SUFFIX = re.compile(r"@\d+$")
_BOUND = r"(None|-?\d{1,9})"
_SLICE = re.compile(
    rf"(?P<list>.*?)\.?slice\({_BOUND}, {_BOUND}, {_BOUND}\)(?:\.(?P<item>[^.]+)(?P<rest>.*))?$", re.DOTALL
)


def traced_calls(program: ProgramIndex | None, modules: Mapping[str, ModuleInfo]) -> list[str]:
    """Paths of the module calls that left nodes in an exported program, in order."""
    reader = StackReader(modules)
    calls: list[str] = []
    for frame in program.calls if program is not None else ():
        paths = reader.read([(frame.path, frame.class_name)]) if frame.class_name else None
        calls.extend(paths or ())
    return calls


class StackReader:
    """Validates stacks against one model's modules (by path, in registration order)."""

    def __init__(self, modules: Mapping[str, ModuleInfo]) -> None:
        self._modules = modules
        self._children: dict[str, list[str]] = {}
        for path in modules:
            if path:
                self._children.setdefault(parent_of(path) or "", []).append(last_segment(path))
        self._known: dict[tuple[str, str], str | None] = {}

    def read(self, frames: Iterable[tuple[str, str]]) -> tuple[str, ...] | None:
        """The paths of a call stack, root first, if every frame is a real module of the recorded class, else None.

        Args:
            frames: ``(path, qualified class name)``; an empty class name claims nothing.
        """
        paths = []
        for path, kind in frames:
            if (path, kind) not in self._known:
                self._known[path, kind] = self._module(path, kind)
            module = self._known[path, kind]
            if module is None:
                return None
            if module != _TEMPORARY:
                paths.append(module)
        return tuple(paths) or None

    def _module(self, path: str, kind: str) -> str | None:
        if path not in self._modules:
            path = "" if path == _STRICT_ROOT else path.removeprefix(f"{_STRICT_ROOT}.")
        if path not in self._modules:
            path = _CALL_SUFFIX.sub("", path)
        while path not in self._modules:
            unsliced = self._unsliced(path)
            if unsliced is None or unsliced == _TEMPORARY:
                return unsliced
            path = unsliced
        if not path and _EXPORTS_OWN_ROOT.fullmatch(kind):
            return path
        return path if _same_class(kind, self._modules[path].class_name) else None

    def _unsliced(self, path: str) -> str | None:
        """The path with its first slice looked up; ``_TEMPORARY`` for a slice itself, None for no slice."""
        match = _SLICE.match(path)
        owner = self._modules.get(match["list"]) if match else None
        if match is None or owner is None:
            return None
        if match["item"] is None:
            return _TEMPORARY if owner.class_name == "Sequential" else None
        item = match["item"]
        if owner.class_name == "ModuleList":
            names = self._children.get(owner.path, [])
            start, stop, step = (None if bound == "None" else int(bound) for bound in match.groups()[1:4])
            chosen = names[start:stop:step] if step != 0 else []
            if not item.isdecimal() or int(item) >= len(chosen):
                return None
            item = chosen[int(item)]
        elif owner.class_name != "Sequential":
            return None
        return join_path(owner.path, item) + match["rest"]


# Stands for a frame that is a call, but of a module which is not part of the model. No path has a leading dot.
_TEMPORARY = ".temporary"


def _same_class(claimed: str, real: str) -> bool:
    """Whether a qualified class name ends in the class, or in the one that parametrizing makes of it."""
    return not claimed or any(claimed == name or claimed.endswith(f".{name}") for name in (real, f"Parametrized{real}"))
