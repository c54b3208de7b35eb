"""quality.worse and quality.better: a stage's values are farther from PyTorch's, or nearer, than the baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_htp.compare.context import Context
from pytest_htp.compare.lines import parse
from pytest_htp.compare.paths import ancestors, unfolded
from pytest_htp.format.fold import expand_pattern, natural_key

_Moves = dict[str, tuple[int, int]]
_SHOWN = 4


def compare_quality(context: Context) -> None:
    """One finding for each direction, at the module where it begins: what is computed of it follows."""
    before, after = (record.get("quality") or {} for record in (context.before, context.after))
    if not (before.get("measured") and after.get("measured")):
        return
    renamed = context.modules.new_paths
    old_modules = {renamed.get(path, path): value for path, value in _values(before.get("modules", ()), "path").items()}
    modules = _moves(old_modules, _values(after.get("modules", ()), "path"))
    outputs = _moves(_values(before.get("outputs", ()), "name"), _values(after.get("outputs", ()), "name"))
    for code, sign in (("quality.worse", -1), ("quality.better", 1)):
        inside = {path: move for path, move in modules.items() if _beyond(move, sign, context.quality_tolerance)}
        given = {name: move for name, move in outputs.items() if _beyond(move, sign, context.quality_tolerance)}
        if not (inside or given):
            continue
        start = next(_by_execution(context, inside), None)
        words = []
        if start is not None:
            words.append(f"SQNR {_told(inside[start])}, begins in this module")
            if len(inside) > 1:
                words.append(f"{len(inside) - 1} more module{'s' * (len(inside) != 2)} with it")
        words += [f"output {name}: SQNR {_told(move)}" for name, move in list(given.items())[:_SHOWN]]
        context.report(
            code, "; ".join(words), module=start,
            before={name: move[0] for name, move in (*_first(start, inside), *given.items())},
            after={name: move[1] for name, move in (*_first(start, inside), *given.items())},
        )  # fmt: skip


def _first(start: str | None, inside: _Moves) -> list[tuple[str, tuple[int, int]]]:
    return [] if start is None else [(start, inside[start])]


def _told(move: tuple[int, int]) -> str:
    return f"{move[0]} -> {move[1]} dB"


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    """Raw path or name → SQNR, those that are defined."""
    return {path: row["sqnr"] for row in rows if row["sqnr"] is not None for path in expand_pattern(row[key])}


def _moves(before: Mapping[str, int], after: Mapping[str, int]) -> _Moves:
    return {name: (before[name], after[name]) for name in after if name in before}


def _beyond(move: tuple[int, int], sign: int, tolerance: float) -> bool:
    return sign * (move[1] - move[0]) > tolerance


def _by_execution(context: Context, paths: Mapping[str, Any]) -> Iterator[str]:
    """The innermost of the modules in the order in which they compute, as programs tell it."""
    outer = {above for path in paths for above in ancestors(path) if above != path}
    innermost = {path for path in paths if path not in outer}
    order = {path: place for place, path in enumerate(_executed(context.after["modules"]))}
    yield from sorted(innermost, key=lambda path: (order.get(path, len(order)), natural_key(path)))


def _executed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Paths in the order of calls, a module after those that it calls."""
    programs = {path: row.get("program") or () for row in rows for path in expand_pattern(row["path"])}
    stack = [("", iter(_calls("", programs)))]
    while stack:
        path, calls = stack[-1]
        following = next(calls, None)
        if following is None:
            stack.pop()
            yield path
        else:
            stack.append((following, iter(_calls(following, programs))))


def _calls(path: str, programs: Mapping[str, Sequence[str]]) -> list[str]:
    lines = map(parse, programs.get(path, ()))
    names = [name for line in lines if line.is_call for name in unfolded(line.name)]
    return [f"{path}.{name}" if path else name for name in names]
