"""Names that compilers make of a graph's: ``node_MatMul_175/MatMulAddFusion``, ``node_Conv_123_token_1`` (a copy),
``node_Reshape_86_new_reshape``, ``node_where_dummy_dq``; OpenVINO's ``node_MatMul_107/transpose_b``.
"""

from __future__ import annotations

import re
from collections.abc import Container

from pytest_htp.carry.names import extended_name

_TOKEN = re.compile(r"_token_[0-9]+$")
# node_add_5 is no node_add with something added: exporters number names so.
_NUMBERED = re.compile(r"_[0-9]")


def source_of(name: str, known: Container[str]) -> str | None:
    """Which of the ``known`` names a compiler's name is or was made of."""
    name = _TOKEN.sub("", name)
    found = extended_name(name, known)
    if found is None or _NUMBERED.match(name, name.index(found) + len(found)):
        return None
    return found
