"""What weights hold, by hashes of their bytes: read piece by piece, so that size doesn't matter.

Two hashes: one of the bytes as they are stored, and one that doesn't depend on their order, which finds a weight again
that another exporter stored transposed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir

_CHUNK = 8 * 1024 * 1024
# Smaller tensors (axes, scales, biases of zeros) are alike by chance, and not told apart from one another.
FEWEST = 8
_DUPLICATE_BYTES = 1024


@dataclass(eq=False)
class Weight:
    """An initializer, the module it belongs to, and what it holds.

    Attributes:
        owner: path of the module whose parameter it is, or whose nodes read it; None if nobody's.
    """

    name: str
    tensor: ir.TensorProtocol
    owner: str | None
    missing: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.tensor.size)

    @cached_property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """Element type and sizes in any order: equal for a transposed copy."""
        return self.tensor.dtype.name, tuple(sorted(dim for dim in self.tensor.shape.numpy() if dim != 1))

    @cached_property
    def digest(self) -> bytes:
        """Hash of the bytes in their order."""
        found = hashlib.blake2b(digest_size=16)
        for chunk in chunks(self.tensor):
            found.update(chunk)
        return found.digest()

    @cached_property
    def bag(self) -> int:
        """Hash of the elements in any order: the sum of a hash of each (of strings: of all in their order)."""
        if self.tensor.dtype == ir.DataType.STRING:
            return int.from_bytes(self.digest)
        width = max(int(self.tensor.dtype.itemsize), 1)
        total = 0
        for chunk in chunks(self.tensor):
            whole = len(chunk) - len(chunk) % width
            words = np.frombuffer(chunk[:whole], dtype=np.dtype(f"V{width}"))
            bits = words.view(f"u{width}").astype(np.uint64) if width in (1, 2, 4, 8) else words.view(np.uint64)
            bits = (bits + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
            total += int(bits.sum(dtype=np.uint64))
        return total % 2**64

    def same_as(self, other: Weight) -> bool:
        """Whether both hold the same elements, perhaps transposed."""
        return self.kind == other.kind and (self.digest == other.digest or self.bag == other.bag)

    def is_fill(self) -> bool:
        """Whether it is one value all over, as fresh parameters are: equal by nature."""
        width = max(int(self.tensor.dtype.itemsize), 1)
        first: bytes | None = None
        for chunk in chunks(self.tensor):
            first = first if first is not None else chunk[:width]
            if chunk != first * (len(chunk) // width):
                return False
        return True


def chunks(tensor: ir.TensorProtocol) -> Iterator[bytes]:
    """The tensor's bytes (little endian, row major), some megabytes at a time; a file is read, not mapped."""
    if tensor.dtype == ir.DataType.STRING:
        yield from (b"%d %s" % (len(text), text) for text in tensor.numpy().ravel().tolist())
        return
    if not isinstance(tensor, ir.ExternalTensor):
        content = memoryview(tensor.tobytes())
        yield from (bytes(content[start : start + _CHUNK]) for start in range(0, len(content), _CHUNK))
        return
    left = int(tensor.length or tensor.nbytes)
    with Path(tensor.path).open("rb") as file:
        file.seek(tensor.offset or 0)
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def may_be_duplicate(weight: Weight) -> bool:
    """Whether it is large enough that the same bytes stored again are worth a word."""
    return weight.tensor.dtype != ir.DataType.STRING and bool(weight.tensor.nbytes >= _DUPLICATE_BYTES)


def duplicates(weights: Iterable[Weight]) -> list[tuple[list[str], int, int]]:
    """``(names, bytes, copies)`` of large weights that are stored more than once."""
    groups: dict[tuple[object, ...], list[Weight]] = {}
    for weight in weights:
        if may_be_duplicate(weight):
            groups.setdefault((weight.tensor.dtype, tuple(weight.tensor.shape), weight.digest), []).append(weight)
    found = [group for group in groups.values() if len(group) > 1 and not group[0].is_fill()]
    return sorted((sorted(w.name for w in group), int(group[0].tensor.nbytes), len(group)) for group in found)


@dataclass
class ValueChanges:
    """Weights that are in both files, by what they hold.

    Attributes:
        same, changed: pairs ``(old, new)``.
        unknown: how many could not be looked at, their data being missing.
    """

    same: list[tuple[Weight, Weight]] = field(default_factory=list)
    changed: list[tuple[Weight, Weight]] = field(default_factory=list)
    unknown: int = 0

    def by_place(self, names: Mapping[str, str]) -> ValueChanges:
        """The same with weights that changed places counted as changed: each of their modules holds what another held.

        Args:
            names: new module path → what the old file calls that module, where it is called otherwise.
        """
        places = {new: names.get(new.owner, new.owner) for _, new in self.same if new.owner is not None}
        moved = [
            (old, new) for old, new in self.same if old.owner is not None and places.get(new) not in (None, old.owner)
        ]
        held = {(old.kind, old.owner): old for old, _ in moved}
        found = {new: held.get((new.kind, places[new])) for _, new in moved}
        changed = [(old, new) for new, old in found.items() if old is not None and not old.same_as(new)]
        others = {new for _, new in changed}
        same = [(old, new) for old, new in self.same if new not in others]
        return ValueChanges(same, self.changed + changed, self.unknown)

    def largest(self) -> float | None:
        """The largest relative change, √(Σ(x−y)²/Σx²), among weights stored in the same layout."""
        found = [change for old, new in self.changed if (change := _relative_change(old, new)) is not None]
        return max(found, default=None)


def match_weights(old: list[Weight], new: list[Weight]) -> ValueChanges:
    """Pair weights by name, then by content, then, one to one, by module and kind."""
    found = ValueChanges()
    left: list[Weight] = []
    by_name = {weight.name: weight for weight in old}
    for weight in new:
        other = by_name.get(weight.name)
        nameless = "." not in weight.name and weight.size >= FEWEST  # which its content tells better
        if other is None or other.kind != weight.kind or nameless:
            left.append(weight)
            continue
        del by_name[weight.name]
        _sort_in(found, other, weight)
    rest = [weight for weight in by_name.values() if weight.size >= FEWEST]
    left = [weight for weight in left if weight.size >= FEWEST]
    kinds = {weight.kind for weight in rest} & {weight.kind for weight in left}
    by_content: dict[tuple[object, int], list[Weight]] = {}
    for weight in rest:
        if weight.kind in kinds and not weight.missing:
            by_content.setdefault((weight.kind, weight.bag), []).append(weight)
    unmatched: list[Weight] = []
    paired: set[Weight] = set()
    for weight in left:
        candidates = [] if weight.missing or weight.kind not in kinds else by_content.get((weight.kind, weight.bag), [])
        best = next((w for w in candidates if w.owner == weight.owner), candidates[0] if candidates else None)
        if best is None:
            unmatched.append(weight)
            continue
        candidates.remove(best)
        paired.add(best)
        found.same.append((best, weight))
    places: dict[tuple[object, ...], list[list[Weight]]] = {}
    for side, weights in enumerate(([weight for weight in rest if weight not in paired], unmatched)):
        for weight in weights:
            places.setdefault((weight.owner, weight.kind), [[], []])[side].append(weight)
    for before, after in places.values():
        if len(before) == len(after) == 1:
            _sort_in(found, before[0], after[0])
    return found


def _sort_in(found: ValueChanges, old: Weight, new: Weight) -> None:
    if old.missing or new.missing:
        found.unknown += 1
    elif old.same_as(new):
        found.same.append((old, new))
    else:
        found.changed.append((old, new))


def _relative_change(old: Weight, new: Weight) -> float | None:
    if tuple(old.tensor.shape) != tuple(new.tensor.shape):
        return None
    dtype = old.tensor.dtype.numpy()
    if dtype.itemsize * old.size != old.tensor.nbytes:
        return None  # packed
    difference = size = 0.0
    for one, other in zip(chunks(old.tensor), chunks(new.tensor), strict=True):
        x, y = (np.frombuffer(chunk, dtype=dtype).astype(np.float64) for chunk in (one, other))
        difference += float(((x - y) ** 2).sum())
        size += float((x**2).sum())
    return float(np.sqrt(difference / size)) if size > 0 else None
