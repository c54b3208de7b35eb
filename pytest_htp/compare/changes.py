"""What differs between two rows, worked out once for all modules that share the two folded rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from pytest_htp.compare.lines import diff_programs
from pytest_htp.format.record import ModuleRow
from pytest_htp.text import some

Histogram = Mapping[str, int]

# A row without its path; "evidence" and "calls" alone don't make it structurally different.
_CONTENT = attrgetter("nodes", "ops", "class_name", "dtypes", "evidence", "weights", "calls")


def same_content(before: ModuleRow, after: ModuleRow) -> bool:
    """Whether two rows are equal in everything but their path."""
    if before == after:
        return True
    return bool(_CONTENT(before) == _CONTENT(after)) and same_program(before, after)


def same_program(before: ModuleRow, after: ModuleRow) -> bool:
    """Whether two rows compute alike: by their programs, or by fingerprints where one is of edition 1."""
    programs = before.program, after.program
    if None not in programs:
        return programs[0] == programs[1]
    prints = before.fingerprint, after.fingerprint
    return None in prints or prints[0] == prints[1]


def differences(before: Histogram, after: Histogram) -> dict[str, int]:
    """Signed change per key, sorted by key, zeros left out."""
    if before == after:
        return {}
    changed = {}
    for key, count in after.items():
        old = before.get(key, 0)
        if count != old:
            changed[key] = count - old
    for key, count in before.items():
        if count and key not in after:
            changed[key] = -count
    return dict(sorted(changed.items())) if len(changed) > 1 else changed


def transitions(before: Mapping[str, int | str], after: Mapping[str, int | str], absent: int | str = 0) -> list[str]:
    """``["Add 2 -> 3", "Mul 0 -> 1"]``: what differs, sorted by key."""
    values = ((key, before.get(key, absent), after.get(key, absent)) for key in sorted({*before, *after}))
    return [f"{key} {was} -> {now}" for key, was, now in values if was != now]


def is_float(dtype: str) -> bool:
    """Whether an element type is a floating-point (or complex) one."""
    return dtype.startswith(("FLOAT", "BFLOAT", "DOUBLE", "COMPLEX"))


def bare(op: str) -> str:
    """Operator type without its domain (``com.microsoft::Gelu`` → ``Gelu``)."""
    return op.rpartition("::")[2].rpartition(".")[2] if ":" in op or "." in op else op


class Change:
    """The differences between two rows. Made by the ten thousand, so worked out at once and kept in slots.

    Attributes:
        before, after: the two rows.
        ops, dtypes, weights: signed differences by operator, element type of node outputs, type of stored bytes.
        nodes: growth of the number of own nodes.
        class_changed: the row is of another class.
        differences: between the two programs, None where one is of edition 1 and has none.
        structural: operators, their number or types, attributes or wiring changed.
        new_floats: floating-point types that the module's nodes produce only now; a module that produced no floats at
            all may begin with ``known_floats``, those that any module of the baseline produces.
    """

    __slots__ = (
        "after", "before", "class_changed", "differences", "dtypes", "new_floats", "nodes", "ops", "structural",
        "weights",
    )  # fmt: skip

    def __init__(self, before: ModuleRow, after: ModuleRow, known_floats: frozenset[str] = frozenset()) -> None:
        self.before, self.after = before, after
        self.ops = differences(before.ops, after.ops)
        self.dtypes = differences(before.dtypes, after.dtypes)
        self.weights = differences(before.weights, after.weights)
        self.nodes: int = after.nodes - before.nodes
        self.class_changed: bool = before.class_name != after.class_name
        programs = before.program, after.program
        self.differences = (
            diff_programs(tuple(programs[0]), tuple(programs[1]))
            if programs[0] is not None and programs[1] is not None
            else None
        )
        same = not self.differences.found if self.differences is not None else same_program(before, after)
        # Outputs of an operator that nothing reads come and go without a meaning.
        unread = same and self.differences is not None and not (self.ops or self.nodes or self.moved_types)
        if unread:
            self.dtypes = {}
        self.structural = bool(self.ops or self.dtypes or self.nodes or not same)
        old = before.dtypes
        new = [kind for kind in self.dtypes if kind not in old and is_float(kind)]
        if new and not any(map(is_float, old)):
            new = [kind for kind in new if kind not in known_floats]
        self.new_floats = new

    @property
    def not_direct(self) -> int:
        """Growth of the number of own nodes without direct evidence."""
        grown = differences(self.before.evidence, self.after.evidence)
        return sum(count for kind, count in grown.items() if kind != "direct")

    @property
    def direct(self) -> int:
        """Growth of the number of own nodes with direct evidence."""
        return self.after.evidence.get("direct", 0) - self.before.evidence.get("direct", 0)

    @property
    def moved_types(self) -> bool:
        """Whether node outputs went from one element type to another, not only more or fewer of the same."""
        counts = self.dtypes.values()
        return bool(counts) and (min(counts) < 0 < max(counts) or self.before.dtypes.keys() != self.after.dtypes.keys())

    @property
    def amount(self) -> int:
        """Nodes by which the operators differ, at least 1 for a structural change."""
        return max(sum(map(abs, self.ops.values())), 1 if self.structural else 0)

    @property
    def only_losses(self) -> bool:
        """Whether no operator occurs more often than before."""
        return bool(self.ops) and max(self.ops.values()) < 0

    @property
    def only_gains(self) -> bool:
        """Whether no operator occurs less often than before."""
        return bool(self.ops) and min(self.ops.values()) > 0

    def counts(self, which: ModuleRow) -> dict[str, int]:
        """Counts of the changed operators in one of the two rows."""
        return {op: which.ops.get(op, 0) for op in self.ops}

    @property
    def description(self) -> str:
        """``Add 2 -> 3, Mul 0 -> 1; 14 -> 16 nodes``."""
        if not self.ops:
            same = "same operators, other attributes or wiring"
            return f"{self.before.nodes} -> {self.after.nodes} nodes" if self.nodes else same
        shown = some(transitions(self.before.ops, self.after.ops), 8, rest=", {} more operators")
        return f"{shown}; {self.before.nodes} -> {self.after.nodes} nodes" if self.nodes else shown


@dataclass(slots=True)
class Pair:
    """One module before and after.

    Attributes:
        path: its raw path now; ``old_path`` differs for a renamed module.
        change: shared by all modules of the same two folded rows.
    """

    path: str
    old_path: str
    change: Change = field(repr=False)
