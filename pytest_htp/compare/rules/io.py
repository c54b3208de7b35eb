"""The graph's contract: names, order, element types, ranks and dims of inputs and outputs.

One finding per code, whatever the number of tensors; ``before`` and ``after`` are keyed by the tensor's name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_htp.compare.context import Context
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.record import Record, TensorRow
from pytest_htp.format.tensors import list_tensors
from pytest_htp.text import some

_MADE_UP = re.compile(r"\bd\d+\b")  # symbols the record made up, alone or in an expression ("2*d0")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_ORDINAL = re.compile(r"#\d+")
_SHOWN = 6  # differences of a kind, or names, in a message


@dataclass
class _Differences:
    """Of one code: messages, and values before and after by tensor name."""

    messages: list[str] = field(default_factory=list)
    before: dict[str, object] = field(default_factory=dict)
    after: dict[str, object] = field(default_factory=dict)

    def add(self, name: str, message: str, before: object, after: object) -> None:
        self.messages.append(message)
        self.before[name], self.after[name] = before, after


_Found = defaultdict[str, _Differences]


@dataclass(frozen=True, slots=True)
class _Match:
    kind: str  # "input" or "output"
    old: TensorRow
    new: TensorRow


def compare_io(context: Context) -> None:
    found: _Found = defaultdict(_Differences)
    matches: list[_Match] = []
    for kind in ("input", "output"):
        old, new = (_tensors(record, kind) for record in (context.before, context.after))
        matches += _match(context, found, kind, old, new)
    if "io.reordered" in found:
        typed = _by_place_if_relabelled(context, found, matches)
    else:
        typed = matches = _matched_by_maker(context, found, matches)
    for match in typed:
        _compare_types(found, match)
    _compare_symbols(found, matches)
    for code, of_code in found.items():
        message = some(of_code.messages, _SHOWN, between="; ", rest="; {} more")
        context.report(code, message, before=of_code.before, after=of_code.after)


def _match(
    context: Context, found: _Found, kind: str, old: Sequence[TensorRow], new: Sequence[TensorRow]
) -> list[_Match]:
    """Match tensors by name, then renamed ones by place; report added, removed, renamed, reordered."""
    old_rows, new_rows = (dict(zip(_unique_names(rows), rows, strict=True)) for rows in (old, new))
    common_old = [name for name in old_rows if name in new_rows]
    common_new = [name for name in new_rows if name in old_rows]
    ordered = common_old == common_new
    if not ordered:
        moved = [a for a, b in zip(common_old, common_new, strict=True) if a != b]
        message = f"{kind}s {', '.join(moved[:_SHOWN])} come in another order"
        found["io.reordered"].add(kind, message, common_old, common_new)
    matches = [_Match(kind, old_rows[name], new_rows[name]) for name in common_old]
    renamed = {
        name: other
        for name, other in _candidates(list(old_rows), list(new_rows), ordered)
        if _alike(old_rows[name], new_rows[other])
    }
    for name, other in renamed.items():
        match = _Match(kind, old_rows[name], new_rows[other])
        if match.old.named or match.new.named:
            found["io.renamed"].add(name, f"{kind} {name} is now called {other}", name, other)
        matches.append(match)
    known = {*common_old, *renamed, *renamed.values()}
    added, removed = (
        {name: _signature(row) for name, row in rows.items() if name not in known} for rows in (new_rows, old_rows)
    )
    if added:
        names = ", ".join(fold_paths(added)[:_SHOWN])
        context.report(f"io.{kind}_added", f"new {kind} {names}", after=added)
    if removed:
        names = ", ".join(fold_paths(removed)[:_SHOWN])
        context.report(f"io.{kind}_removed", f"removed {kind} {names}", before=removed)
    return matches


def _by_place_if_relabelled(context: Context, found: _Found, matches: list[_Match]) -> list[_Match]:
    """Names in another order on tensors that stayed where they were: types are then compared by place."""
    for kind in found["io.reordered"].before:
        old, new = (_tensors(record, kind) for record in (context.before, context.after))
        if len(old) == len(new) and all(_alike(*pair) for pair in zip(old, new, strict=True)):
            others = [match for match in matches if match.kind != kind]
            matches = [*others, *(_Match(kind, *pair) for pair in zip(old, new, strict=True))]
    return matches


def _tensors(record: Record, kind: str) -> list[TensorRow]:
    return list_tensors(record.inputs if kind == "input" else record.outputs)


def _matched_by_maker(context: Context, found: _Found, matches: list[_Match]) -> list[_Match]:
    """Report outputs that keep their names and places but are now made by each other's modules.

    Types are then compared by what makes them: that they were exchanged too says nothing more. Which of several equal
    operators makes an output (``Add#1``) is known by their order in the module, and no longer where that was changed.
    """
    new_paths = context.modules.new_paths
    changed = {p.path for p in context.modules.changed if p.change.differences and p.change.differences.found}
    outputs = [match for match in matches if match.kind == "output"]
    values = all(match.old.value and match.new.value for match in outputs)
    old = [_maker(match.old, new_paths, values, changed) for match in outputs]
    new = [_maker(match.new, {}, values, changed) for match in outputs]
    if None in old or None in new or sorted(map(str, old)) != sorted(map(str, new)) or old == new:
        return matches
    moved = [match.new.name for match, a, b in zip(outputs, old, new, strict=True) if a != b]
    apart = {str(maker).partition(":")[0] for maker, other in zip(old, new, strict=True) if maker != other}
    whose = "made by each other's modules" if len(apart) > 1 else f"each other's values in {apart.pop() or 'the root'}"
    message = f"outputs {', '.join(moved[:_SHOWN])} are now {whose}"
    found["io.reordered"].add("output", message, old, new)
    if len(set(new)) < len(new):
        return matches
    made = dict(zip(new, (match.new for match in outputs), strict=True))
    exchanged = [_Match("output", match.old, made[maker]) for match, maker in zip(outputs, old, strict=True)]
    return [*(match for match in matches if match.kind != "output"), *exchanged]


def _maker(tensor: TensorRow, new_paths: Mapping[str, str], values: bool, changed: Container[str]) -> str | None:
    """The module that makes an output, by its path of today, with which of its values that is where both records
    know; None where it isn't known.
    """
    if tensor.module is None:
        return None
    path = new_paths.get(tensor.module, tensor.module)
    value = _ORDINAL.sub("", tensor.value or "") if path in changed else tensor.value
    return f"{path}:{value}" if values else path


def _unique_names(tensors: Sequence[TensorRow]) -> list[str]:
    """Names, a repeated one made distinct (a broken graph, but no reason to crash)."""
    seen: dict[str, int] = {}
    names = []
    for tensor in tensors:
        name = tensor.name
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def _candidates(old: Sequence[str], new: Sequence[str], ordered: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a name that is gone and a new one at the same place: the k-th between the same two common names, or
    where the common ones were reordered, the same position.
    """
    common = set(old).intersection(new)
    if not ordered:
        yield from ((a, b) for a, b in zip(old, new, strict=False) if a not in common and b not in common)
        return
    gaps: dict[str | None, list[str]] = {}
    last = None
    for name in new:
        if name in common:
            last = name
        else:
            gaps.setdefault(last, []).append(name)
    last, used = None, 0
    for name in old:
        if name in common:
            last, used = name, 0
        elif used < len(gaps.get(last, ())):
            yield name, gaps[last][used]
            used += 1


def _alike(old: TensorRow, new: TensorRow) -> bool:
    return old.dtype == new.dtype and _rank(old) == _rank(new)


def _rank(tensor: TensorRow) -> int | None:
    return None if tensor.dims is None else len(tensor.dims)


def _signature(tensor: TensorRow) -> str:
    dims = "?" if tensor.dims is None else ", ".join("?" if dim is None else str(dim) for dim in tensor.dims)
    return f"{tensor.dtype}[{dims}]"


def _compare_types(found: _Found, match: _Match) -> None:
    old, new = match.old, match.new
    name = f"{match.kind} {new.name}"
    if old.dtype != new.dtype:
        found["io.dtype"].add(new.name, f"{name}: {old.dtype} -> {new.dtype}", old.dtype, new.dtype)
    if _rank(old) != _rank(new):
        found["io.rank"].add(new.name, f"{name}: {_axes(old)} -> {_axes(new)}", old.dims, new.dims)
        return
    for axis, (before, after) in enumerate(zip(old.dims or (), new.dims or (), strict=True)):
        code = _dim_code(before, after)
        if code:
            found[code].add(new.name, f"{name} axis {axis}: {_dim(before)} -> {_dim(after)}", old.dims, new.dims)


def _axes(tensor: TensorRow) -> str:
    rank = _rank(tensor)
    return "unknown rank" if rank is None else "1 axis" if rank == 1 else f"{rank} axes"


def _dim(dim: int | str | None) -> str:
    return "unknown" if dim is None else str(dim)


def _dim_code(before: int | str | None, after: int | str | None) -> str | None:
    if isinstance(before, int):
        return None if before == after else "io.dim_changed" if isinstance(after, int) else "io.dim_freed"
    if isinstance(after, int):
        return "io.dim_fixed"
    return "io.dim_symbol" if before is not None and after is None else None


def _compare_symbols(found: _Found, matches: Sequence[_Match]) -> None:
    """Canonical symbols are renumbered freely; what counts is which axes are equal, and the user's own names."""
    forward: dict[str, tuple[str, str]] = {}
    backward: dict[str, tuple[str, str]] = {}
    computed: list[tuple[str, str, str, TensorRow, TensorRow]] = []
    for match in matches:
        if _rank(match.old) != _rank(match.new):
            continue
        for axis, (old, new) in enumerate(zip(match.old.dims or (), match.new.dims or (), strict=True)):
            if not (isinstance(old, str) and isinstance(new, str)):
                continue
            place = f"{match.kind} {match.new.name} axis {axis}"
            if _is_computed(old) or _is_computed(new):
                computed.append((place, old, new, match.old, match.new))
                continue
            name, dims = match.new.name, (match.old.dims, match.new.dims)
            known_new, first = forward.setdefault(old, (new, place))
            known_old, other = backward.setdefault(new, (old, place))
            if known_new != new:
                found["io.dim_symbol"].add(name, f"{place} no longer equals {first}", *dims)
            elif known_old != old:
                found["io.dim_symbol"].add(name, f"{place} now equals {other}", *dims)
            elif old != new and first == place and not (_MADE_UP.fullmatch(old) and _MADE_UP.fullmatch(new)):
                found["io.renamed"].add(name, f"{place} is now called {new}, was {old}", *dims)
    for place, old, new, old_tensor, new_tensor in computed:
        # The exporter orders terms by its own symbol names, so the order of terms means nothing.
        expected = _MADE_UP.sub(lambda symbol: forward.get(symbol[0], (symbol[0],))[0], old)
        if sorted(_TOKEN.findall(expected)) != sorted(_TOKEN.findall(new)):
            found["io.dim_symbol"].add(new_tensor.name, f"{place}: {old} -> {new}", old_tensor.dims, new_tensor.dims)


def _is_computed(dim: str) -> bool:
    """Whether a dim is an expression of made-up symbols."""
    return bool(_MADE_UP.search(dim)) and not _MADE_UP.fullmatch(dim)
