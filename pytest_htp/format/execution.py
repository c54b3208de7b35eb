"""In which order modules run, read from a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_htp.format.paths import NaturalKey, ancestors, expand_pattern, join_path, natural_key
from pytest_htp.format.program import called_paths, parse_line
from pytest_htp.format.record import ModuleRow


def execution_order(rows: Sequence[ModuleRow]) -> Callable[[str], tuple[float, NaturalKey]]:
    """A key to sort raw paths of modules by: a module comes after those that it calls.

    One that the exporter folded into another module is done before the module around it.
    """
    order = {path: place for place, path in enumerate(_executed(rows))}

    def place(path: str) -> tuple[float, NaturalKey]:
        if path in order:
            return order[path], natural_key(path)
        outer = next((order[above] for above in ancestors(path) if above in order), len(order))
        return outer - 0.5, natural_key(path)

    return place


def _executed(rows: Sequence[ModuleRow]) -> Iterator[str]:
    programs = {path: row.program or () for row in rows for path in expand_pattern(row.path)}
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
    lines = map(parse_line, programs.get(path, ()))
    names = [name for line in lines if line.is_call for name in called_paths(line.name)]
    return [join_path(path, name) for name in names]
