"""The module tree of one export: today's rows, the baseline's, and what the findings say about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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


def build_tree(result: ExportResult) -> TreeNode | None:
    """The tree of an export result, or None where it has no record. The root is always open."""
    record = result.current
    if record is None:
        return None
    placed = _place(record.modules, result.stored.modules if result.stored else None)
    _mark_findings(placed, result.findings)
    _mark_attestation(placed, record.attestation)
    _mark_divergence(placed, record.parity)
    root = _nest(placed)
    _open_changes(root)
    root.open = True
    return root


def _place(rows: Sequence[ModuleRow], rows_before: Sequence[ModuleRow] | None) -> list[TreeNode]:
    """One node per row of either record, today's first."""
    after: dict[Template, list[PathSet]] = defaultdict(list)
    before: dict[Template, list[tuple[PathSet, ModuleRow]]] = defaultdict(list)
    for row in rows_before or ():
        pattern = parse_path(row.path)
        before[pattern.template].append((pattern, row))
    placed = []
    for row in rows:
        pattern = parse_path(row.path)
        after[pattern.template].append(pattern)
        node = _node(row, pattern)
        if rows_before is not None:
            matches = [old for old_pattern, old in before[pattern.template] if pattern.overlaps(old_pattern)]
            # Where a fold was split differently, the row that differs is the one worth showing.
            different = [old for old in matches if _differs(row, old)]
            node.before = next(iter(different or matches), None)
            node.status = "added" if not matches else "changed" if different else "same"
        placed.append(node)
    for template, candidates in before.items():
        for pattern, row in candidates:
            if not any(pattern.overlaps(other) for other in after[template]):
                placed.append(TreeNode("", row.path, row=row, before=row, status="removed", count=pattern.count))
    if rows_before is not None:
        _note_counts(placed, after, before)
    return placed


def _node(row: ModuleRow, pattern: PathSet) -> TreeNode:
    count = pattern.count
    return TreeNode(
        name="", path=row.path, row=row, count=count, nodes=row.nodes * count, bytes=sum(row.weights.values()) * count
    )


def _differs(row: ModuleRow, old: ModuleRow) -> bool:
    return row != old and any(getattr(row, key) != getattr(old, key) for key in _COMPARED)


def _note_counts(
    placed: Iterable[TreeNode],
    after: Mapping[Template, Sequence[PathSet]],
    before: Mapping[Template, Sequence[tuple[PathSet, ModuleRow]]],
) -> None:
    """Mark the folds of which there are now more or fewer modules (12 layers became 10)."""
    for node in placed:
        pattern = parse_path(node.path)
        if node.status in ("added", "removed") or not pattern.choices:
            continue
        now = sum(other.count for other in after[pattern.template])
        then = sum(other.count for other, _ in before[pattern.template])
        if now != then and node.before is not None:
            node.count_before = parse_path(node.before.path).count
            node.status = "changed"


def _mark_findings(placed: Sequence[TreeNode], findings: Sequence[FindingRow]) -> None:
    by_template: dict[Template, list[tuple[PathSet, TreeNode]]] = defaultdict(list)
    for node in placed:
        pattern = parse_path(node.path)
        by_template[pattern.template].append((pattern, node))
    for position, finding in enumerate(findings):
        if finding.module is None:
            continue
        pattern = parse_path(finding.module)
        for other, node in by_template[pattern.template]:
            if pattern.overlaps(other):
                node.findings.append(position)


def _mark_attestation(placed: Sequence[TreeNode], attestation: AttestationRow) -> None:
    """Say of each module what attestation found; "attested" only where the stored count agrees with it."""
    if not attestation.measured:
        return
    contradicted = [(parse_path(path), "") for path in attestation.contradicted]
    unmatched = [(parse_path(item.module), item.reason) for item in attestation.unmatched]
    marked: list[TreeNode] = []
    for node in placed:
        pattern = parse_path(node.path)
        if node.status == "removed":
            continue
        for state, entries in (("contradicted", contradicted), ("unmatched", unmatched)):
            for other, reason in entries:
                if pattern.overlaps(other) and not node.attestation:
                    node.attestation, node.attestation_reason = state, reason
        if not node.attestation and node.path:
            marked.append(node)
    if sum(node.count for node in marked) == attestation.attested:
        for node in marked:
            node.attestation = "attested"


def _mark_divergence(placed: Sequence[TreeNode], parity: ParityRow) -> None:
    if parity.first_divergence is None:
        return
    pattern = parse_path(parity.first_divergence)
    for node in placed:
        if node.status != "removed" and pattern.overlaps(parse_path(node.path)):
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
