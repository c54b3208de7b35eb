"""Read the call stack that the exporter wrote into an ONNX node's metadata, as from an untrusted file.

torch.onnx writes two aligned lists as Python ``repr`` (``torch/onnx/_internal/exporter/_core.py``,
``_set_node_metadata``): module paths and class names, innermost last, each ending in one more entry for the
FX node itself (its name and its aten target).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

NAME_SCOPES = "pkg.torch.onnx.name_scopes"
CLASS_HIERARCHY = "pkg.torch.onnx.class_hierarchy"

# A real stack is a few hundred characters; anything near this is not one. Bounds what literal_eval may chew on.
_MAX_TEXT = 50_000


@dataclass(frozen=True, slots=True)
class RecordedStack:
    """The stack of one ONNX node: ``(path, qualified class name)`` pairs, root first, and the FX node's name.

    Both are as written: whether such a module exists is for the reader to check.
    """

    frames: tuple[tuple[str, str], ...]
    fx_name: str


def _string_list(text: str | None) -> list[str] | None:
    if not text or len(text) > _MAX_TEXT or not text.startswith("["):
        return None
    if "\\" not in text and text.startswith("['") and text.endswith("']") and text.isprintable() and len(text) > 3:
        plain = text[2:-2].split("', '")  # as every file has them, ten times as fast
        if not any("'" in item for item in plain):
            return plain
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return value


def read_stack(metadata: Mapping[str, str]) -> RecordedStack | None:
    """The recorded stack; None where it is missing, malformed or its two lists don't line up."""
    scopes = _string_list(metadata.get(NAME_SCOPES))
    classes = _string_list(metadata.get(CLASS_HIERARCHY))
    if not scopes or not classes or len(scopes) != len(classes):
        return None
    return RecordedStack(tuple(zip(scopes[:-1], classes[:-1], strict=True)), scopes[-1])
