"""What exports are called where there is little room: distinguished, and cut so that they stay distinct."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from pytest_htp.monitor.text import shorten
from pytest_htp.report.result import ExportResult

Key = tuple[str, str]

_ELLIPSIS = "…"
_PARTS = re.compile(r"::|/")


def key_of(result: ExportResult) -> Key:
    """What identifies an export in a report."""
    return (result.nodeid, result.name)


def labels(exports: Iterable[ExportResult]) -> dict[Key, str]:
    """Each export's name, with as much of class and file before it as tells it from others of that name.

    Tests that are inherited have the same name in every class and file that they run in.
    """
    of_name: dict[str, dict[Key, list[str]]] = defaultdict(dict)
    for result in exports:
        key = key_of(result)
        path, _, inside = result.nodeid.partition("::")
        of_name[result.name][key] = [*path.split("/"), *inside.split("[")[0].split("::")[:-1]]
    found = {}
    for name, places in of_name.items():
        ends = Counter(end for parts in places.values() for end in _ends(parts))
        for key, parts in places.items():
            found[key] = f"{_distinct_end(key[0], parts, ends) if len(places) > 1 else ''}{name}"
    return found


def under_labels(exports: Sequence[ExportResult]) -> list[ExportResult]:
    """The exports as they are shown: their labels for names."""
    names = labels(exports)
    shown = [replace(result, name=names[key_of(result)]) for result in exports]
    for result, other in zip(exports, shown, strict=True):
        vars(other).update(vars(result))  # its records, where they were typed already
    return shown


def _ends(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """The ends of a place, the shortest first."""
    return [tuple(parts[-length:]) for length in range(1, len(parts) + 1)]


def _distinct_end(nodeid: str, parts: Sequence[str], ends: Mapping[tuple[str, ...], int]) -> str:
    """The shortest end of a place that no other place has, up to its ``::``; ``ends`` are those of all places."""
    count = next((len(end) for end in _ends(parts) if ends[end] == 1), len(parts))
    starts = [0, *(match.end() for match in _PARTS.finditer(nodeid))]
    return f"{nodeid[starts[len(parts) - count] : starts[len(parts)] if len(parts) < len(starts) else None]}"


def cut_apart(names: Sequence[str], width: int) -> list[str]:
    """Each name in at most ``width`` columns, different ones differently wherever there is room for what differs."""
    different = sorted(set(names))
    functions: dict[str, list[str]] = defaultdict(list)
    for name in different:
        functions[name.partition("[")[0]].append(name)
    cut = {name: name for name in different if shorten(name, width) == name}
    taken = set(cut)
    for position, name in enumerate(different):
        if name in cut:
            continue
        neighbours = [different[near] for near in (position - 1, position + 1) if 0 <= near < len(different)]
        siblings = functions[name.partition("[")[0]]
        candidates = list(_candidates(name, siblings, neighbours, width))
        cut[name] = next((text for text in candidates if text not in taken), candidates[0])
        taken.add(cut[name])
    return [cut[name] for name in names]


def _candidates(name: str, siblings: Sequence[str], neighbours: Sequence[str], width: int) -> Iterator[str]:
    """Ways to cut a name, best first.

    ``siblings`` are the names of the same function, sorted, ``neighbours`` those before and behind it.
    """
    if len(siblings) > 1:
        yield from _by_parameters(name, siblings, width)
    yield shorten(name, width)
    for head in (width // 3, 2 * width // 3, 0, width - 1):
        tail = width - 1 - head
        yield shorten(name[:head] + _ELLIPSIS + (name[-tail:] if tail else ""), width)
    # The beginning that it shares with the nearest one says nothing: what follows does.
    start = max((_shared(name, other) for other in neighbours), default=0)
    yield shorten(shorten(name[:start], width // 3) + name[start:][: width - width // 3 - 1] + _ELLIPSIS, width)


def _by_parameters(name: str, siblings: Sequence[str], width: int) -> Iterator[str]:
    """The function is the same, its parameters tell the tests apart: of these, what all share goes first."""
    function = name.partition("[")[0]
    parameters = name[len(function) :]
    short = shorten(function, max(width // 3, 4))
    room = width - len(short)
    # Sorted: what the first and the last share, all share at their beginning.
    begin = name[len(function) : _shared(siblings[0], siblings[-1])]
    backwards = sorted(text[::-1] for text in siblings)
    end = name[len(name) - _shared(backwards[0], backwards[-1]) :]
    middle = parameters[len(begin) : max(len(parameters) - len(end), len(begin))]
    shorter = f"{begin[:1]}{_ELLIPSIS}" if len(begin) > 2 else begin
    for text in (parameters, begin + middle + _ELLIPSIS, shorter + middle + end, shorter + middle + _ELLIPSIS):
        if shorten(text, room) == text:
            yield short + text
    yield short + shorten(shorter + middle + _ELLIPSIS, room)


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
