"""The module tree of one export: today's rows, the baseline's, and what the findings say about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pytest_htp.format.paths import PathSet, Template, split_pattern
from pytest_htp.format.record import AttestationRow, ModuleRow, ParityRow
from pytest_htp.report.paths import parse_path
from pytest_htp.report.result import ExportResult, FindingRow

# A deeper path keeps its remaining segments in one name: the page nests <details>, and browsers and template
# recursion have their limits.
DEPTH_LIMIT = 40

_COMPARED = ("class_name", "calls", "ops", "dtypes", "weights", "fingerprint")


@dataclass(slots=True)
class TreeNode:
    """One module, a fold of identical ones, or (``row`` None) a container that never runs itself."""

    name: str
    path: str = ""
    row: ModuleRow | None = None
    before: ModuleRow | None = None
    status: str = "same"  # same | changed | added | removed
    count: int = 1  # modules the row stands for
    count_before: int | None = None  # where it differs from count
    nodes: int = 0  # ONNX nodes of all modules the row stands for, descendants excluded; 0 for removed ones
    bytes: int = 0  # of the initializers that those modules own
    attestation: str = ""  # attested | contradicted | unmatched | "" (not measured or proves nothing)
    attestation_reason: str = ""
    diverges: bool = False  # the first module whose output is off while its inputs agree
    divergence: str = ""
    findings: list[int] = field(default_factory=list)  # positions in the export's findings
    children: list[TreeNode] = field(default_factory=list)
    open: bool = False
    omitted: int = 0  # rows below this one that limit_rows took out
    omitted_nodes: int = 0


T = TypeVar("T")
_Placed = tuple[PathSet, TreeNode]


def build_tree(result: ExportResult) -> TreeNode | None:
    """The tree of an export result, or None where it has no record. The root is always open."""
    record = result.current
    if record is None:
        return None
    placed = _place(record.modules, result.stored.modules if result.stored else None)
    _mark_findings(placed, result.findings)
    _mark_attestation(placed, record.attestation)
    _mark_divergence(placed, record.parity)
    root = _nest([node for _, node in placed])
    _open_changes(root)
    root.open = True
    return root


def _place(rows: Sequence[ModuleRow], rows_before: Sequence[ModuleRow] | None) -> list[_Placed]:
    """One node per row of either record, today's first."""
    today = [(parse_path(row.path), row) for row in rows]
    after = _by_template(today)
    before = _by_template((parse_path(row.path), row) for row in rows_before or ())
    placed = []
    for pattern, row in today:
        size = sum(row.weights.values()) * pattern.count
        node = TreeNode("", row.path, row, count=pattern.count, nodes=row.nodes * pattern.count, bytes=size)
        if rows_before is not None:
            matches = [old for other, old in before[pattern.template] if pattern.overlaps(other)]
            # Where a fold was split differently, the row that differs is the one worth showing.
            different = [old for old in matches if _differs(row, old)]
            node.before = next(iter(different or matches), None)
            node.status = "added" if not matches else "changed" if different else "same"
        if node.before is not None and pattern.choices:
            now, then = (sum(other.count for other, _ in side[pattern.template]) for side in (after, before))
            if now != then:  # 12 layers became 10
                node.count_before, node.status = parse_path(node.before.path).count, "changed"
        placed.append((pattern, node))
    for pattern, row in (item for items in before.values() for item in items):
        if not any(pattern.overlaps(other) for other, _ in after[pattern.template]):
            placed.append((pattern, TreeNode("", row.path, row, row, "removed", pattern.count)))
    return placed


def _by_template(items: Iterable[tuple[PathSet, T]]) -> dict[Template, list[tuple[PathSet, T]]]:
    found: dict[Template, list[tuple[PathSet, T]]] = defaultdict(list)
    for pattern, item in items:
        found[pattern.template].append((pattern, item))
    return found


def _differs(row: ModuleRow, old: ModuleRow) -> bool:
    return row != old and any(getattr(row, key) != getattr(old, key) for key in _COMPARED)


def _mark_findings(placed: Iterable[_Placed], findings: Sequence[FindingRow]) -> None:
    by_template = _by_template(placed)
    for position, finding in enumerate(findings):
        if finding.module is not None:
            pattern = parse_path(finding.module)
            for other, node in by_template[pattern.template]:
                if pattern.overlaps(other):
                    node.findings.append(position)


def _mark_attestation(placed: Iterable[_Placed], attestation: AttestationRow) -> None:
    """Say of each module what attestation found; "attested" only where the stored count agrees with it."""
    if not attestation.measured:
        return
    known = [(parse_path(path), "contradicted", "") for path in attestation.contradicted]
    known += [(parse_path(item.module), "unmatched", item.reason) for item in attestation.unmatched]
    marked: list[TreeNode] = []
    for pattern, node in placed:
        if node.status == "removed":
            continue
        found = next((item for item in known if pattern.overlaps(item[0])), None)
        if found is not None:
            _, node.attestation, node.attestation_reason = found
        elif node.path:
            marked.append(node)
    if sum(node.count for node in marked) == attestation.attested:
        for node in marked:
            node.attestation = "attested"


def _mark_divergence(placed: Iterable[_Placed], parity: ParityRow) -> None:
    if parity.first_divergence is None:
        return
    entering = parse_path(parity.first_divergence)
    for pattern, node in placed:
        if node.status != "removed" and entering.overlaps(pattern):
            node.diverges, node.divergence = True, parity.divergence or ""


def _nest(placed: Sequence[TreeNode]) -> TreeNode:
    """The root; a module's place among its siblings is that of the first row in it."""
    keys = [_segments(node.path) for node in placed]
    index: dict[tuple[str, ...], TreeNode] = {}
    for key, node in zip(keys, placed, strict=True):
        index.setdefault(key, node)
    root = index.setdefault((), TreeNode(name=""))
    reached: set[tuple[str, ...]] = set()
    for key, node in zip(keys, placed, strict=True):
        for length in range(1, len(key) + 1):
            inner = key[:length]
            if inner not in reached:
                reached.add(inner)
                child = index.setdefault(inner, TreeNode(name="", path=".".join(inner)))
                child.name = inner[-1]
                index[inner[:-1]].children.append(child)
        if index[key] is not node:  # the same path twice: removed, and added as something else; keep both
            node.name = index[key].name
            index[key[:-1]].children.append(node)
    _join_containers(root)
    return root


def _segments(path: str) -> tuple[str, ...]:
    segments = tuple(split_pattern(path))
    if len(segments) <= DEPTH_LIMIT:
        return segments
    return (*segments[: DEPTH_LIMIT - 1], ".".join(segments[DEPTH_LIMIT - 1 :]))


def _join_containers(root: TreeNode) -> None:
    """``layer`` with the only child ``{0..11}`` becomes ``layer.{0..11}``, as in the module's path."""
    stack = [root]
    while stack:
        node = stack.pop()
        for position, child in enumerate(node.children):
            while child.row is None and len(child.children) == 1:
                (only,) = child.children
                only.name = f"{child.name}.{only.name}"
                child = only
            node.children[position] = child
        stack.extend(node.children)


def _open_changes(root: TreeNode) -> None:
    order = [root]
    for node in order:
        order.extend(node.children)
    for node in reversed(order):
        node.open = node.status != "same" or bool(node.findings) or any(child.open for child in node.children)


def walk(root: TreeNode) -> Iterable[TreeNode]:
    """Every node, parents before children, in display order."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def limit_rows(root: TreeNode, limit: int) -> None:
    """Cut the tree to ``limit`` rows in place: changed ones and the way to them, then from the top down.

    Parents of cut rows say how many rows and ONNX nodes are missing.
    """
    order = list(walk(root))
    if len(order) <= limit:
        return
    kept = {id(node) for node in [root, *(node for node in order if node.open)][:limit]}
    level = [root]
    for node in level:
        for child in node.children:
            if id(child) in kept or len(kept) < limit:
                kept.add(id(child))
                level.append(child)
    for node in level:
        dropped = [child for child in node.children if id(child) not in kept]
        rows = [row for child in dropped for row in walk(child)]
        node.omitted, node.omitted_nodes = len(rows), sum(row.nodes for row in rows)
        node.children = [child for child in node.children if id(child) in kept]
