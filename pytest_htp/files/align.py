"""Which module of one file is which of another that names its modules differently: by their weights, then by place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pytest_htp.files.modules import UNKNOWN_CLASS, module_table
from pytest_htp.files.values import Weight
from pytest_htp.format.paths import join_path, last_segment, nearest, parent_of, relative_to
from pytest_htp.tagging.tagger import Tagging


def new_names(pairs: Iterable[tuple[Weight, Weight]], old: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """New module path → what the old file calls that module, where it is called otherwise.

    Modules that hold the same weight are the same. A name that both have in common below them (``attn.q`` of
    ``model.layers.0.attn.q`` and ``layers.0.attn.q``) makes the modules around them the same too; what has no weights
    follows the nearest module around it that is known. A path that both files have stays what it is unless weights say
    otherwise.
    """
    known, paths = set(old), list(new)
    votes: dict[str, Counter[str]] = {}
    for before, after in pairs:
        if before.owner is None or after.owner is None:
            continue
        one, other = before.owner, after.owner
        weight = 1 + (before.name == after.name)
        votes.setdefault(after.owner, Counter())[before.owner] += weight
        while one and other and last_segment(one) == last_segment(other):
            one, other = parent_of(one) or "", parent_of(other) or ""
            votes.setdefault(other, Counter())[one] += 1
    renamed = {path: _elected(path, counts) for path, counts in votes.items()}
    found = {}
    for path in paths:
        target = _renamed(path, renamed, known)
        if target != path:
            found[path] = target
    return found


def _elected(path: str, counts: Counter[str]) -> str:
    return max(counts, key=lambda other: (counts[other], other == path, other))


def _renamed(path: str, renamed: Mapping[str, str], known: set[str]) -> str:
    if path in renamed:
        return renamed[path]
    if path in known:
        return path
    outer = nearest(path, renamed)
    return path if outer is None else join_path(renamed[outer], relative_to(path, outer))


def rename_modules(tagging: Tagging, names: Mapping[str, str], classes: Mapping[str, str]) -> None:
    """Let a tagging speak of its modules by other paths.

    Args:
        tagging: changed in place.
        names: path → new path; others keep theirs.
        classes: path (a new one) → class, for those whose class isn't known.
    """
    graph = tagging.graph
    table: dict[str, str] = {}
    for path, info in graph.modules.items():
        target = names.get(path, path)
        kind = info.class_name if info.class_name != UNKNOWN_CLASS else classes.get(target, "")
        if target != path:
            table[target] = kind  # what the old file calls so, not what is called so now (a wrapper's root)
        elif not table.get(target):
            table[target] = kind
    for facts in tagging.nodes:
        if facts.path is not None:
            facts.path = names.get(facts.path, facts.path)
            facts.origins = tuple(sorted({names.get(origin, origin) for origin in facts.origins}))
    graph.modules = module_table({"": "", **table})
