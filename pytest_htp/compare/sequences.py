"""Numbered children that shifted: a module put into an ``nn.Sequential`` renumbers all that follow it.

By path alone each of them would look like another class; aligned by class, only the new one is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher

from pytest_htp.compare.lines import alike_at_the_ends
from pytest_htp.format.paths import last_segment, number_in, parent_of
from pytest_htp.format.record import ModuleRow

# Longer differing middles are left to matching by path: difflib is cubic at worst (one class, and the same with another
# after each), 0.1 s of CPU time for 200, 0.8 s for 400, 13 s for 1,000.
_LONGEST = 200


def renumbered(before: Mapping[str, ModuleRow], after: Mapping[str, ModuleRow]) -> dict[str, str | None]:
    """Old child path → new child path (None: gone) for the children of every parent whose numbering shifted."""
    suspects = {
        parent_of(path)
        for path, row in before.items()
        if path in after and row.class_name != after[path].class_name and number_in(last_segment(path)) is not None
    }
    if not suspects:
        return {}
    old_children, new_children = _numbered_children(before, suspects), _numbered_children(after, suspects)
    moved: dict[str, str | None] = {}
    for parent in suspects:
        old, new = old_children.get(parent, []), new_children.get(parent, [])
        if len(old) != len(new):  # as many as before: replaced, not shifted
            moved.update(_aligned(old, new, before, after))
    return moved


def _numbered_children(rows: Mapping[str, ModuleRow], parents: set[str | None]) -> dict[str | None, list[str]]:
    children: dict[str | None, list[str]] = {}
    for path in rows:
        if number_in(last_segment(path)) is not None and parent_of(path) in parents:
            children.setdefault(parent_of(path), []).append(path)
    for paths in children.values():
        paths.sort(key=lambda path: number_in(last_segment(path)) or 0)
    return children


def _aligned(
    old: list[str], new: list[str], before: Mapping[str, ModuleRow], after: Mapping[str, ModuleRow]
) -> dict[str, str | None]:
    old_classes, new_classes = [before[path].class_name for path in old], [after[path].class_name for path in new]
    head, tail = alike_at_the_ends(old_classes, new_classes)
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(middle_old), len(middle_new)) > _LONGEST:
        return {}
    moved: dict[str, str | None] = dict.fromkeys(old)
    moved.update(zip(old[:head], new[:head], strict=True))
    moved.update(zip(old[len(old) - tail :], new[len(new) - tail :], strict=True))
    matcher = SequenceMatcher(
        None, old_classes[head : len(old) - tail], new_classes[head : len(new) - tail], autojunk=False
    )
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            moved[middle_old[block.a + step]] = middle_new[block.b + step]
    return moved
