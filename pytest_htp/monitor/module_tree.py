"""The module tree: who holds how many nodes, and on what evidence (drawn by ``tree.py``).

Rows in, lines out, both linear in modules and nodes and free of recursion, so deep models can't break it. Siblings that
are alike all the way down (class, node counts, evidence, everything below) are drawn once: ``layer.{0..11}``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pytest_htp.format.fold import fold_alike
from pytest_htp.format.paths import nearest, relative_to
from pytest_htp.monitor.text import UNICODE, Symbols
from pytest_htp.tag import HierarchyTag
from pytest_htp.text import plural
from pytest_htp.vocabulary import HTPExportData

# Deeper levels are drawn at this indent; real models have some fifteen.
_MAX_INDENT = 40


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One module: its own nodes, those of its children excluded.

    Attributes:
        path: module path, root ``""``.
        class_name: class of the module, "" where unknown.
        nodes: number of ONNX nodes, None where not counted.
        evidence: nodes per evidence class (``direct``, ``fused``, ``inferred``), as pairs.
        facts: what else is known of it, in words (``2.1 MFLOP``).
    """

    path: str
    class_name: str = ""
    nodes: int | None = None
    evidence: tuple[tuple[str, int], ...] = ()
    facts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Module:
    row: ModuleRow
    label: str
    children: list[_Module] = field(default_factory=list)
    nodes: int | None = None
    evidence: Counter[str] = field(default_factory=Counter)
    modules: int = 1  # in this subtree
    kind: int = 0  # equal for modules that are alike all the way down


@dataclass(frozen=True, slots=True)
class TreeLine:
    """One line of a tree.

    Attributes:
        lead: branch characters before the name.
        path: pattern of the path or paths, relative to the line's parent; "" for the root.
        class_name: class of the module(s).
        count: modules the line stands for.
        nodes: nodes of each of them, descendants included; None where not counted.
        evidence: those nodes per evidence class.
        hidden: modules below the line(s) that are not drawn.
        facts: what else is known of each of them, in words.
        note: text of a line that stands for no module; the other fields are then empty.
    """

    lead: str = ""
    path: str = ""
    class_name: str = ""
    count: int = 0
    nodes: int | None = None
    evidence: Mapping[str, int] = field(default_factory=dict)
    hidden: int = 0
    note: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModuleTree:
    """A tree of modules, built from rows in display order (parents may come after their children).

    Attributes:
        rows: one row per module.
        never_ran: registered modules left out because they didn't run.
        untagged: nodes without a tag, which belong to no module.
    """

    rows: tuple[ModuleRow, ...]
    never_ran: int = 0
    untagged: int = 0

    @classmethod
    def from_data(cls, data: HTPExportData) -> ModuleTree:
        """From an export: its executed modules (all, where none is known to have run) and tagged nodes."""
        modules = sorted(
            data.hierarchy.items(),
            key=lambda item: (item[1].execution_order is None, item[1].execution_order or 0),
        )
        counts = _own_nodes(data)
        ran = any(info.executed for _, info in modules)
        rows: dict[str, ModuleRow] = {}
        never_ran = 0
        for path, info in modules:
            if ran and not info.executed and path and path not in counts:
                never_ran += 1
            else:
                rows[path] = _row(path, info.class_name, counts.get(path), bool(counts))
        for path, found in counts.items():  # tags of modules the hierarchy doesn't list
            if path not in rows:
                rows[path] = _row(path, found.class_name, found, True)
        untagged = max(len(data.node_details) - len(data.tagged_nodes), 0)
        return cls(tuple(rows.values()), never_ran, untagged)

    @cached_property
    def _roots(self) -> list[_Module]:
        modules = {row.path: _Module(row, row.path) for row in self.rows}
        roots = []
        for path, module in modules.items():
            outer = nearest(path, modules)
            if outer is None:
                roots.append(module)
            else:
                module.label = relative_to(path, outer)
                modules[outer].children.append(module)
        _sum_up(roots)
        return roots

    @property
    def modules(self) -> int:
        """Number of modules in the tree."""
        return len(self.rows)

    def lines(
        self, *, max_depth: int | None = None, max_rows: int | None = None, symbols: Symbols = UNICODE
    ) -> Iterator[TreeLine]:
        """The drawn lines, at most ``max_rows`` of them besides the closing notes on what is not shown.

        Args:
            max_depth: levels drawn (the root is level 1); None: all.
            max_rows: modules drawn, folded ones as one; None: all.
            symbols: branch characters.
        """
        drawn = standing_for = hidden_below = 0
        stack = [("", "", 1, path, module, count, count) for path, module, count in reversed(_folded(self._roots))]
        while stack and (max_rows is None or drawn < max_rows):
            lead, below, depth, path, module, count, times = stack.pop()
            cut = max_depth is not None and depth >= max_depth
            hidden = (module.modules - 1) * count if cut else 0
            drawn += 1
            standing_for += times
            hidden_below += (module.modules - 1) * times if cut else 0
            row = module.row
            yield TreeLine(lead, path, row.class_name, count, module.nodes, module.evidence, hidden, facts=row.facts)
            if cut:
                continue
            children = _folded(module.children)
            for position, (child_path, child, child_count) in reversed(list(enumerate(children))):
                is_last = position == len(children) - 1
                indented = below if depth <= _MAX_INDENT else below[: -len(symbols.pipe)]
                child_lead = indented + (symbols.last if is_last else symbols.branch)
                child_below = indented + (" " * len(symbols.pipe) if is_last else symbols.pipe)
                stack.append((child_lead, child_below, depth + 1, child_path, child, child_count, times * child_count))
        rest = self.modules - standing_for - hidden_below
        if rest:
            yield TreeLine(note=f"{symbols.dots} {plural(rest, 'more module')} not shown")
        if self.never_ran:
            yield TreeLine(note=f"{plural(self.never_ran, 'registered module')} never ran")
        if self.untagged:
            yield TreeLine(note=f"{plural(self.untagged, 'node')} in no module (no evidence)")


@dataclass(slots=True)
class _Own:
    class_name: str
    nodes: int = 0
    evidence: Counter[str] = field(default_factory=Counter)


def _own_nodes(data: HTPExportData) -> dict[str, _Own]:
    """Own nodes per module path, from the tags."""
    details = data.node_details
    counted = Counter(
        (tag, details[key].get("evidence") if key in details else None) for key, tag in data.tagged_nodes.items()
    )
    paths = {info.tag: path for path, info in data.hierarchy.items() if info.tag}
    found: dict[str, _Own] = {}
    for (tag, evidence), number in counted.items():
        class_name = ""
        if tag in paths:
            path = paths[tag]
        else:
            try:
                parsed = HierarchyTag.parse(tag)
                path, class_name = parsed.module_path, parsed.classes[-1]
            except ValueError:  # not our grammar: shown under its own text, beside the modules
                path = str(tag)
        own = found.setdefault(path, _Own(class_name))
        own.nodes += number
        if evidence:
            own.evidence[str(evidence)] += number
    return found


def _row(path: str, class_name: str, own: _Own | None, counted: bool) -> ModuleRow:
    nodes = own.nodes if own else 0 if counted else None
    return ModuleRow(path, class_name, nodes, tuple(sorted(own.evidence.items())) if own else ())


def _sum_up(roots: list[_Module]) -> None:
    """Fill nodes, evidence, modules and kind, children first."""
    order, stack = [], list(roots)
    while stack:
        module = stack.pop()
        order.append(module)
        stack.extend(module.children)
    kinds: dict[object, int] = {}
    for module in reversed(order):
        row = module.row
        module.nodes = row.nodes
        module.evidence = Counter(dict(row.evidence))
        for child in module.children:
            module.modules += child.modules
            module.evidence.update(child.evidence)
            if child.nodes is not None:
                module.nodes = (module.nodes or 0) + child.nodes
        likeness = (
            row.class_name,
            row.nodes,
            row.evidence,
            row.facts,
            tuple((child.label, child.kind) for child in module.children),
        )
        module.kind = kinds.setdefault(likeness, len(kinds))


def _folded(modules: list[_Module]) -> list[tuple[str, _Module, int]]:
    return fold_alike([(module.label, module.kind, module) for module in modules])
