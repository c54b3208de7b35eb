"""Which module of today's export is which of the baseline's: by path, else by class, structure and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_htp.compare.changes import Change, Pair, is_float, same_content
from pytest_htp.compare.sequences import renumbered
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import MAX_PATHS, ancestors, expand_pattern, natural_key, nearest, parent_of, topmost
from pytest_htp.format.record import ModuleRow

Rows = dict[str, ModuleRow]
_Accept = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Move:
    """A module (with all below it) that is now found under another path."""

    old: str
    new: str
    class_name: str


@dataclass
class Modules:
    """Both module trees, matched. Paths are raw; folded rows are shared by the modules they stand for."""

    before: Rows = field(default_factory=dict)
    after: Rows = field(default_factory=dict)
    changed: list[Pair] = field(default_factory=list)
    added: Rows = field(default_factory=dict)
    removed: Rows = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    renumbered_in: set[str] = field(default_factory=set)  # parents whose numbered children shifted
    new_paths: dict[str, str] = field(default_factory=dict)  # old path → new path, where they differ


def index_rows(rows: Iterable[ModuleRow]) -> Rows:
    """Raw path → row, without copying. Raises HTPUsageError for a module described twice or too many."""
    indexed: Rows = {}
    for row in rows:
        pattern = row.path
        for path in expand_pattern(pattern, MAX_PATHS - len(indexed)):
            if path in indexed:
                raise HTPUsageError(f"two rows describe the module {path[:200]!r}: re-record the baseline")
            indexed[path] = row
    return indexed


def match_modules(before: Iterable[ModuleRow], after: Iterable[ModuleRow]) -> Modules:
    """Match two lists of (folded) rows. Linear in the number of modules."""
    modules = Modules(index_rows(before), index_rows(after))
    children = renumbered(modules.before, modules.after)
    modules.renumbered_in = {str(parent_of(old)) for old in children}
    matched: dict[str, str] = {}
    for old in modules.before:
        new = _follow(old, children) if children else old
        if new is not None and new in modules.after:
            matched[old] = new
        else:
            modules.removed[old] = modules.before[old]
    taken = set(matched.values())
    modules.added = {path: row for path, row in modules.after.items() if path not in taken}
    if modules.removed and modules.added:
        matched.update(_match_moved(modules))
    modules.new_paths = {old: new for old, new in matched.items() if old != new}
    modules.changed = _changed_pairs(modules, matched)
    return modules


def _follow(old: str, children: Mapping[str, str | None]) -> str | None:
    """The new path of a module inside a renumbered one; None where that one is gone."""
    for outer in (old, *ancestors(old)):
        if outer in children:
            new = children[outer]
            return None if new is None else new + old[len(outer) :]
    return old


def _changed_pairs(modules: Modules, matched: Mapping[str, str]) -> list[Pair]:
    changes: dict[tuple[int, int], Change | None] = {}
    rows = {id(row): row for row in modules.before.values()}.values()
    floats = frozenset(kind for row in rows for kind in row.dtypes if is_float(kind))
    pairs = []
    for old, new in matched.items():
        before, after = modules.before[old], modules.after[new]
        key = id(before), id(after)
        if key not in changes:
            changes[key] = None if same_content(before, after) else Change(before, after, floats)
        change = changes[key]
        if change is not None:
            pairs.append(Pair(new, old, change))
    return pairs


class _Forest:
    """Unmatched modules with the structure below each: equal ``signature`` means equal subtrees."""

    def __init__(self, rows: Mapping[str, ModuleRow], signatures: dict[object, int]) -> None:
        self.inside: dict[str, list[str]] = {path: [] for path in rows}
        self.nodes: dict[str, int] = {}
        self.signature: dict[str, int] = {}
        self.roots = []
        for path in rows:
            outer = nearest(path, rows)
            if outer is None:
                self.roots.append(path)
            else:
                self.inside[outer].append(path)
        for path in sorted(rows, key=lambda path: -path.count(".") - bool(path)):
            row, below = rows[path], self.inside[path]
            start = len(path) + 1 if path else 0
            content = (
                row.class_name, tuple(sorted(row.ops.items())), row.fingerprint,
                tuple(sorted((inner[start:], self.signature[inner]) for inner in below)),
            )  # fmt: skip
            self.signature[path] = signatures.setdefault(content, len(signatures))
            self.nodes[path] = row.nodes + sum(self.nodes[inner] for inner in below)

    def subtree(self, root: str) -> list[str]:
        found = [root]
        for path in found:
            found.extend(self.inside[path])
        return found


def _match_moved(modules: Modules) -> dict[str, str]:
    """Match what is left; matched modules leave ``removed`` and ``added`` and are listed in ``moves``."""
    signatures: dict[object, int] = {}
    old_forest, new_forest = _Forest(modules.removed, signatures), _Forest(modules.added, signatures)
    matched: dict[str, str] = {}

    def accept(old: str, new: str) -> None:
        modules.moves.append(Move(old, new, modules.removed[old].class_name))
        for path in old_forest.subtree(old):
            target = new + path[len(old) :]
            if target in modules.added:
                matched[path] = target
                del modules.removed[path], modules.added[target]

    _match_wrapped(modules, accept)
    _match_equal_subtrees(modules, old_forest, new_forest, accept)
    _match_same_place(modules, accept)
    return matched


def _match_wrapped(modules: Modules, accept: _Accept) -> None:
    """The whole model under another one, or taken out of it, whatever changed inside: all paths with one beginning more
    or less.
    """
    for outer, inner, put_in in ((modules.added, modules.before, True), (modules.removed, modules.after, False)):
        root = inner.get("")
        places = [path for path, row in outer.items() if root is not None and row.class_name == root.class_name]
        moved = topmost(modules.removed if put_in else modules.added)
        for place in sorted(places, key=natural_key):
            pairs = [(path, f"{place}.{path}") for path in moved]
            if pairs and all(
                under in outer and outer[under].class_name == inner[path].class_name for path, under in pairs
            ):
                for path, under in pairs:
                    accept(path, under) if put_in else accept(under, path)
                return


def _match_equal_subtrees(modules: Modules, old_forest: _Forest, new_forest: _Forest, accept: _Accept) -> None:
    """The same structure elsewhere: under the same parent, or anywhere if it holds nodes."""
    candidates: dict[int, list[str]] = {}
    for path in sorted(modules.added, key=natural_key, reverse=True):
        candidates.setdefault(new_forest.signature[path], []).append(path)
    for old in sorted(modules.removed.keys() & old_forest.roots, key=natural_key):
        found = candidates.get(old_forest.signature[old], [])
        while found and found[-1] not in modules.added:  # already taken with an enclosing module
            found.pop()
        if found and (old_forest.nodes[old] or parent_of(found[-1]) == parent_of(old)):
            accept(old, found.pop())


def _match_same_place(modules: Modules, accept: _Accept) -> None:
    """Renamed and changed: the same class under the same parent, as many before as after."""

    def grouped(paths: Iterable[str]) -> dict[tuple[str | None, str], list[str]]:
        groups: dict[tuple[str | None, str], list[str]] = {}
        for path in sorted(topmost(paths), key=natural_key):
            row = modules.removed.get(path) or modules.added[path]
            groups.setdefault((parent_of(path), row.class_name), []).append(path)
        return groups

    new_groups = grouped(modules.added)
    for place, old_paths in grouped(modules.removed).items():
        new_paths = new_groups.get(place, [])
        if len(old_paths) == len(new_paths):
            for old, new in zip(old_paths, new_paths, strict=True):
                accept(old, new)
