"""A squarified treemap (Bruls, Huizing and van Wijk, 2000) as numbers; the template draws it as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_htp.report.tree import TreeNode, walk

WIDTH, HEIGHT = 720.0, 300.0  # user units of the SVG
TILE_LIMIT = 60  # smaller modules are summed up in one tile
_GROUPS = 6  # colours; one more is neutral
_CHARACTER, _LINE = 6.7, 14.0  # user units that a character of the label takes


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle. ``group`` picks the colour; ``label`` is what fits inside."""

    x: float
    y: float
    width: float
    height: float
    path: str
    value: int
    share: float  # percent of the whole
    group: int
    changed: bool
    label: str
    modules: int  # rows in the tile; more than 1 only in the tile of the small ones


def treemap(root: TreeNode, measure: Callable[[TreeNode], int]) -> list[Tile]:
    """Tiles for every row with a value above zero; areas in proportion to ``measure(row)``."""
    values_of = [(measure(node), node) for node in walk(root)]
    rows = [(value, node) for value, node in values_of if value > 0]
    rows.sort(key=lambda item: (-item[0], item[1].path))
    total = sum(value for value, _ in rows)
    if not total:
        return []
    groups = _groups(root, values_of)
    shown, rest = rows[:TILE_LIMIT], rows[TILE_LIMIT:]
    values = [value for value, _ in shown]
    if rest:
        values.append(sum(value for value, _ in rest))
    # The tile of the small ones may be larger than its neighbours; squarify wants its input sorted.
    order = sorted(range(len(values)), key=lambda position: -values[position])
    tiles: list[Tile] = []
    boxes = squarify([values[position] for position in order], WIDTH, HEIGHT)
    for position, (x, y, width, height) in zip(order, boxes, strict=True):
        is_rest = position == len(shown)
        node = rest[0][1] if is_rest else shown[position][1]
        path = f"{len(rest)} smaller modules" if is_rest else node.path or "(root)"
        tiles.append(
            Tile(
                x=round(x, 1),
                y=round(y, 1),
                width=round(width, 1),
                height=round(height, 1),
                path=path,
                value=values[position],
                share=100 * values[position] / total,
                group=_GROUPS if is_rest else groups[id(node)],
                changed=not is_rest and node.status != "same",
                label=_label(path, width, height),
                modules=len(rest) if is_rest else 1,
            )
        )
    return tiles


def _groups(root: TreeNode, values_of: Sequence[tuple[int, TreeNode]]) -> dict[int, int]:
    """A colour per branch, by ``id(node)``; what lies outside the coloured branches is neutral.

    The branches are those of the first level at which none holds more than 70%: in a transformer the layers
    hold nearly everything, so the parts of a layer are what a reader wants to tell apart.
    """
    sums: dict[int, int] = {}
    for value, node in reversed(values_of):
        sums[id(node)] = value + sum([sums[id(child)] for child in node.children])
    top = root
    while top.children:
        largest = max(top.children, key=lambda child: sums[id(child)])
        if sums[id(largest)] <= 0.7 * sums[id(root)] or not largest.children:
            break
        top = largest
    colours = dict.fromkeys(sums, _GROUPS)
    for position, branch in enumerate(top.children):
        for node in walk(branch):
            colours[id(node)] = position % _GROUPS
    return colours


def _label(path: str, width: float, height: float) -> str:
    """The end of the path, as many whole segments as fit, else the beginning of its last one."""
    room = int((width - 6) / _CHARACTER)
    if height < _LINE or room < 3:
        return ""
    if len(path) <= room:
        return path
    cut = path[len(path) - room + 1 :]
    return "…" + cut[cut.index(".") + 1 :] if "." in cut else path.rpartition(".")[2][: room - 1] + "…"


def squarify(values: Sequence[float], width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles ``(x, y, width, height)`` that fill ``width`` × ``height``, in the order of ``values``: positive ones,
    largest first.
    """
    scale = width * height / sum(values) if values else 0.0
    areas = [value * scale for value in values]
    boxes: list[tuple[float, float, float, float]] = []
    x = y = 0.0
    start = 0
    while start < len(areas):
        side = min(width, height)
        end, total = start + 1, areas[start]
        ratio = _worst_ratio(areas[start], areas[start], total, side)
        while end < len(areas):
            candidate = _worst_ratio(areas[start], areas[end], total + areas[end], side)
            if candidate > ratio:
                break
            ratio, total, end = candidate, total + areas[end], end + 1
        depth = total / side if side else 0.0
        offset = 0.0
        for area in areas[start:end]:
            length = area / depth if depth else 0.0
            boxes.append((x, y + offset, depth, length) if width >= height else (x + offset, y, length, depth))
            offset += length
        if width >= height:
            x, width = x + depth, max(width - depth, 0.0)
        else:
            y, height = y + depth, max(height - depth, 0.0)
        start = end
    return boxes


def _worst_ratio(largest: float, smallest: float, total: float, side: float) -> float:
    """The worst aspect ratio in a row of tiles of ``total`` area along ``side``."""
    if not (side and total and smallest):
        return float("inf")
    return max(side**2 * largest / total**2, total**2 / (side**2 * smallest))
