"""Which module keeps a graph from compiling: parts of it are compiled alone, from the root inwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import onnx_ir as ir

from pytest_htp.tagging.tagger import Tagging
from pytest_htp.targets.subgraph import Cutter, has_bodies, save, signature, structure

MAX_COMPILES = 40
"""Parts compiled at most. A count and not a time, so that machines agree; repeated layers count once: where every part
of a bundled family fails, there are 11 (Llama) to 30 (wav2vec2)."""

Compiles = Callable[[Path, float], bool | None]
"""Whether a file compiles; None where that took longer than so many seconds."""


@dataclass
class _Search:
    cutter: Cutter
    compiles: Compiles
    folder: Path
    deadline: float
    compiled: dict[str, bool | None] = field(default_factory=dict)
    forms: dict[str, ir.Model] = field(default_factory=dict)

    def fails(self, path: str) -> bool | None:
        """Whether the module's part fails alone; None where it can't be cut or the budget is spent."""
        nodes = self.cutter.inside(path)
        if has_bodies(nodes):
            return None
        form = structure(nodes)
        part = self.cutter.model_of(nodes, self.forms.get(form))
        if part is None:
            return None
        self.forms.setdefault(form, part)
        key = signature(part)
        if key not in self.compiled:
            left = self.deadline - time.monotonic()
            if len(self.compiled) >= MAX_COMPILES or left <= 0:
                return None
            file = self.folder / "part.onnx"
            save(part, file)
            self.compiled[key] = self.compiles(file, left)
        return None if self.compiled[key] is None else not self.compiled[key]


def failing_modules(tagging: Tagging, compiles: Compiles, seconds: float) -> tuple[str, ...]:
    """The smallest modules that alone do not compile, in order of the model; empty where none was found.

    A module is cut out with those inside it; if none of these fails alone, it is what is named. The root is the
    whole graph, which is known to fail, and is not named: it would say nothing.

    Args:
        tagging: of the graph that did not compile.
        compiles: tries one ``.onnx`` file.
        seconds: stops asking after that time.
    """
    children = _children(tagging)
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="htp-part-") as name:
        search = _Search(Cutter(tagging), compiles, Path(name), time.monotonic() + seconds)

        def descend(path: str) -> bool:
            failed = [child for child in children.get(path, ()) if search.fails(child)]
            for child in failed:
                if not descend(child):
                    found.append(child)
            return bool(failed)

        descend("")
    order = {path: position for position, path in enumerate(tagging.graph.modules)}
    return tuple(sorted(found, key=lambda path: order.get(path, len(order))))


def _children(tagging: Tagging) -> dict[str, list[str]]:
    """Module → the modules directly inside it that own nodes, themselves or further in."""
    children: dict[str, dict[str, None]] = {}
    for facts in tagging.nodes:
        if facts.path is None:
            continue
        chain = tagging.graph.call_path(facts.path)
        for outer, inner in pairwise(chain):
            children.setdefault(outer, {})[inner] = None
    return {outer: list(inner) for outer, inner in children.items()}
