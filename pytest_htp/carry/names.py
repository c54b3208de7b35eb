"""Names that a tool made out of names of the graph it was given: ``node_MatMul_175/MatMulAddFusion``,
``val_47_quantized``, ``Transpose_token_19``.
"""

from __future__ import annotations

import re
from collections.abc import Container

# Where a tool's addition may begin or end. A longer number is another name: ``val_4`` is no part of ``val_47``.
_BOUNDARY = re.compile(r"[^0-9A-Za-z]|(?<=[0-9])(?=[A-Za-z])|$")
_PREFIX = re.compile(r"^[A-Za-z]+[ _:/]+")


def extended_name(name: str | None, known: Container[str]) -> str | None:
    """The longest of the ``known`` names that ``name`` begins with, or begins with after one word of the tool
    (``fused node_linear_12``, ``InsertedCast_val_3``); None where there is none. An equal name counts.
    """
    if not name:
        return None
    word = _PREFIX.match(name)
    for start in (0,) if word is None else (0, word.end()):
        for end in sorted((match.start() for match in _BOUNDARY.finditer(name, start + 1)), reverse=True):
            if name[start:end] in known:
                return name[start:end]
    return None


def without_first_word(name: str) -> str | None:
    """What follows a tool's word in front of a name, None without one."""
    word = _PREFIX.match(name)
    return name[word.end() :] if word is not None else None
