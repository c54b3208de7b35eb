"""In which order modules run, read from a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_htp.format.paths import NaturalKey, ancestors, expand_pattern, join_path, natural_key
from pytest_htp.format.program import called_paths, parse_line
from pytest_htp.format.record import ModuleRow


def execution_order(rows: Sequence[ModuleRow]) -> Callable[[str], tuple[float, NaturalKey]]:
    """A key to sort raw paths of modules by: a module comes after those that it calls, one that is called several times
    where it is called last.

    One that the exporter folded into another module is done before the module around it.
    """
    programs = {path: row.program or () for row in rows for path in expand_pattern(row.path)}
    order: dict[str, int] = {}
    left = [""]
    while left:  # backwards, from the end of the root's call
        path = left.pop()
        if path in order:  # called later as well; or in a circle, in a file that was edited
            continue
        order[path] = -len(order)
        for line in map(parse_line, programs.get(path, ())):
            if line.is_call:
                left += (join_path(path, name) for name in called_paths(line.name))

    def place(path: str) -> tuple[float, NaturalKey]:
        if path in order:
            return order[path], natural_key(path)
        return next(order[above] for above in ancestors(path) if above in order) - 0.5, natural_key(path)

    return place
