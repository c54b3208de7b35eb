"""quality.worse and quality.better: a stage's values are farther from PyTorch's, or nearer, than the baseline's.

With other weights, or on other inputs, both the signal and the noise of an SQNR are drawn anew. Each is a sum of n
squares: of independent normal values it is distributed as chi-squared, the ratio of two as F(n, n) (NIST/SEMATECH
e-Handbook of Statistical Methods, 1.3.5.9), and the logarithm of one has the variance trigamma(n/2) (Bartlett and
Kendall, 1946). So a number of few values moves by chance, that of two logits by 11 dB as standard deviation; what is
within three of these (Shewhart's limits, e-Handbook 6.3.1) says nothing then. Measured: docs/explanation/quality.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar

from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.parity import outputs_exchanged
from pytest_htp.format.execution import execution_order
from pytest_htp.format.extremes import same_signal
from pytest_htp.format.paths import ancestors, expand_pattern
from pytest_htp.format.record import SQNR_STEP, ModuleQualityRow, OutputQualityRow, PathRow, TensorRow

# A stage's tensor that holds NaN or infinity, in the words of ``quality.sqnr``.
_NOT_FINITE = "not finite"
_SHOWN = 4  # outputs in a message
_LIMIT = 3  # standard deviations


class _Move(NamedTuple):
    """A number before and after, by how much the worst of what the module took rose, and how far it moves by chance;
    dB, None: not finite.
    """

    before: int
    after: int | None
    entering: float = 0.0
    chance: float = 0.0

    @property
    def rise(self) -> float:
        return -math.inf if self.after is None else self.after - self.before

    def is_beyond(self, least: float, sign: int) -> bool:
        """Whether it rose (-1: fell) by more than ``least``, and by more than chance."""
        return sign * self.rise > max(least, self.chance)


_Moves = dict[str, _Move]
_Row = TypeVar("_Row", ModuleQualityRow, OutputQualityRow)


def compare_quality(context: Context) -> None:
    """One finding for each direction, at the module where it begins: what is computed of it follows."""
    before, after = context.before.quality, context.after.quality
    if before is None or after is None or not (before.measured and after.measured):
        return
    renamed = context.modules.new_paths
    old = {renamed.get(path, path): row for path, row in _numbers(before.modules).items()}
    same = same_signal(before, after)
    modules = _moves(old, _numbers(after.modules), same=same)
    outputs = _moves(_numbers(before.outputs), _numbers(after.outputs), same=same)
    if outputs_exchanged(context):
        outputs = {}
    tolerance = context.quality_tolerance
    for code, sign in (("quality.worse", -1), ("quality.better", 1)):
        inside = {path: move for path, move in modules.items() if move.is_beyond(tolerance, sign)}
        given = {name: move for name, move in outputs.items() if move.is_beyond(tolerance, sign)}
        if not (inside or given) or (code == "quality.worse" and context.reported("parity.failed")):
            continue  # outputs beyond tolerance are worse by themselves
        makers = {module for name in given for module in _makers(context.after.outputs).get(name, ())}
        start = _begins(context, modules, inside.keys() | makers, sign)
        words = []
        if start is not None:
            known = start in modules and sign * modules[start].rise > 0
            words.append(
                f"SQNR {_in_words(modules[start])}, begins in this module" if known else "begins in this module"
            )
            more = len(inside.keys() - {start})
            if more:
                words.append(f"{more} more module{'s' * (more != 1)} with it")
        words += [f"output {name}: SQNR {_in_words(move)}" for name, move in list(given.items())[:_SHOWN]]
        first = [] if start is None or start not in modules else [(start, modules[start])]
        context.report(
            code, "; ".join(words), module=start,
            before={name: move.before for name, move in (*first, *given.items())},
            after={name: move.after for name, move in (*first, *given.items())},
        )  # fmt: skip


def _in_words(move: _Move) -> str:
    return f"{move.before} dB -> {_NOT_FINITE}" if move.after is None else f"{move.before} -> {move.after} dB"


def _numbers(rows: Sequence[_Row]) -> dict[str, _Row]:
    """Raw path or name → row, those that say how good a value is."""
    known = [row for row in rows if row.sqnr is not None or row.reason == _NOT_FINITE]
    return {path: row for row in known for path in expand_pattern(row.path if isinstance(row, PathRow) else row.name)}


def _moves(before: Mapping[str, _Row], after: Mapping[str, _Row], *, same: bool) -> _Moves:
    moves = {}
    for name, now in after.items():
        was = before.get(name)
        if was is None or was.sqnr is None:
            continue
        entering = getattr(was, "entering", None), getattr(now, "entering", None)
        rise = 0.0 if entering[0] is None or entering[1] is None else entering[1] - entering[0]
        chance = 0.0 if same or was.values is None or now.values is None else _by_chance(was.values, now.values)
        moves[name] = _Move(was.sqnr, now.sqnr, rise, chance)
    return moves


def _by_chance(before: int, after: int) -> float:
    """How far an SQNR of so few values moves by chance, in dB; stored numbers may be a step farther apart."""
    variance = 2 * (_of_logarithm(before) + _of_logarithm(after))
    return _LIMIT * 10 / math.log(10) * math.sqrt(variance) + SQNR_STEP


def _of_logarithm(values: int) -> float:
    """The variance of the natural logarithm of a sum of squares: trigamma(values/2)."""
    start = 2 - values % 2
    return math.pi**2 / (2 if start == 1 else 6) - sum(4 / k**2 for k in range(start, values, 2))


def _makers(outputs: Sequence[TensorRow]) -> dict[str, list[str]]:
    """Output → the modules whose nodes make it: one may give a tensor that no module returns (a cache's)."""
    makers: dict[str, list[str]] = {}
    for row in outputs:
        names, modules = list(expand_pattern(row.name)), list(expand_pattern(row.module or ""))
        for place, name in enumerate(names):
            makers[name] = [modules[place]] if len(modules) == len(names) else modules
    return makers


def _begins(context: Context, modules: _Moves, beyond: Set[str], sign: int) -> str | None:
    """Where it begins: in a module that moved while what it took did not.

    A move grows and shrinks on its way: where one is beyond the tolerance, its beginning need not be, so it is looked
    for among moves of half of that. What the first module beyond tolerance does not bring about itself is brought about
    by one before it, else by code between the two: that of the innermost module around it which took what was good.

    Args:
        context: of the two records.
        modules: how far each module's number moved.
        beyond: modules beyond the tolerance, or that make an output which is.
        sign: -1 looks for losses, 1 for gains.
    """
    if not beyond:
        return None
    tolerance = context.quality_tolerance
    least = min(tolerance, max(SQNR_STEP, tolerance / 2))
    # By the export: where a stage absorbed a module, what is left of it is anywhere.
    place = execution_order((context.export or context.after).modules)
    first = min(_innermost(beyond), key=place)
    moved = {path for path, move in modules.items() if move.is_beyond(least, sign)} | beyond
    own = [path for path in moved if path not in modules or least >= sign * modules[path].entering]
    if first in own:
        return min(_innermost([path for path in own if path == first or first in ancestors(path)]), key=place)
    earlier = [path for path in _innermost(own) if place(path) < place(first)]
    if earlier:
        return max(earlier, key=place)
    return next((path for path in ancestors(first) if path in own), first)


def _innermost(paths: Iterable[str]) -> list[str]:
    outer = {above for path in paths for above in ancestors(path)}
    return [path for path in paths if path not in outer]
