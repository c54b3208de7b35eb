"""From numbers by reference to a number a module: which value a module's result is, and what absorbed ones count as.

1. A reference is the value with its name; without one, the best of those at its place or like it that are not
   clearly (:data:`CLEARLY`) closer to another reference: a norm that changes little makes one much like what it took.
   One that was no value of the export either is none of the stage's that is unlike it.
2. Of what conversions make of that value, the worst counts: that is what the next module reads.
3. A result that a stage absorbed (the convolution of a Conv that took the Relu in) is nowhere. It counts as what leaves
   the operator that took it in: the result, further along in PyTorch, of modules that do nothing but take it.
   So does one whose best value is no better than :data:`UNRELATED` while the result further along is, or has its name.
   An activation that is no module is computed of it: :mod:`pytest_htp.quality.absorbed`.
   Where that finds none of a call's results, it counts as the tensor that its operators make, whosever it is.
4. A module's number is the worst of its calls' and results'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from pytest_htp.capture.hierarchy import Hierarchy, ModuleCall
from pytest_htp.parity.reasons import UNLIKE
from pytest_htp.parity.references import Reference
from pytest_htp.quality.meter import Meter, Numbers
from pytest_htp.quality.result import Measured
from pytest_htp.quality.sqnr import Undefined, nothing, rank, values_of_sample
from pytest_htp.tagging.tagger import Tagging

# Of an unrelated value the ratio is about 0 dB, of a Relu's result for its input's about 3.
UNRELATED = 6.0
# A value this close, an error of a third of it, is a result gone through a coarse type and no other one.
ALIKE = 10.0
# How much better, in dB, a value fits what it is than something alike.
CLEARLY = 3.0
# Modules in a row that one operator takes in: convolution, norm, activation, dropout, …
_ABSORBED = 5

NO_TENSOR = "no tensor"
NO_NUMBERS = "no floating-point numbers"
PASS_THROUGH = "pass-through"
CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Found:
    """A number, and the value that is the result (conversions of it may have decided the number)."""

    number: float | Undefined
    at: ir.Value


class ModuleNumbers:
    """Numbers of the modules of a watched pass, from a meter that has seen all values."""

    def __init__(self, hierarchy: Hierarchy, tagging: Tagging, meter: Meter) -> None:
        self._hierarchy, self._tagging, self._meter = hierarchy, tagging, meter
        self._references = references = meter.references
        self._takers: dict[int, list[ModuleCall]] = {}
        for call in hierarchy.calls:
            for index in references.borders[call.order].inputs.ids:
                self._takers.setdefault(index, []).append(call)
        self._of: dict[int, Found | None] = {}
        self._closest: dict[ir.Value, float] = {}
        for numbers in meter.numbers.values():
            for value, number in numbers.items():
                self._closest[value] = max(rank(number), self._closest.get(value, rank(number)))

    def all(self) -> tuple[dict[str, Measured], dict[str, str]]:
        """Module path → number, and module path → why it has none; in execution order."""
        measured: dict[str, Measured] = {}
        undefined: dict[str, str] = {}
        for call in self._hierarchy.calls:
            found = self._of_call(call)
            if isinstance(found, Measured):
                known = measured.get(call.path)
                if known is None or found.sqnr < known.sqnr:
                    measured[call.path] = found
            else:
                undefined.setdefault(call.path, found)
        return measured, {path: reason for path, reason in undefined.items() if path not in measured}

    def _of_call(self, call: ModuleCall) -> Measured | str:
        border = self._references.borders[call.order]
        reasons: list[str] = []
        worst: tuple[float, ir.Value] | None = None
        values = 0
        for reference in border.outputs.references:
            reason = self._unmeasurable(reference, border.inputs.ids)
            found = self._found(reference) if reason is None else None
            if found is None:
                reasons.append(reason or UNLIKE)
            elif isinstance(found.number, Undefined):
                return found.number.reason
            elif worst is None or found.number < worst[0]:
                worst, values = (found.number, found.at), values_of_sample(reference.tensor)
        if worst is None and UNLIKE in reasons and (found := self._leaving(call)) is not None:
            if isinstance(found.number, Undefined):
                return found.number.reason
            worst = found.number, found.at
        if worst is None:
            return reasons[0] if reasons else NO_TENSOR
        return Measured(worst[0], self._entering(call), worst[1].name or "", values)

    def _leaving(self, call: ModuleCall) -> Found | None:
        """What leaves the operators that a module was absorbed into, where that is another result."""
        for facts in reversed(self._tagging.nodes):
            if not any(origin == call.path or origin.startswith(f"{call.path}.") for origin in facts.origins):
                continue
            for value in facts.node.outputs:
                if self._closest.get(value, 0.0) >= ALIKE:
                    return self._handed_on(value)
        return None

    def _handed_on(self, value: ir.Value) -> Found:
        """What conversions make of a value, by the result that it is closest to."""
        numbers = max(
            (numbers for numbers in self._meter.numbers.values() if value in numbers),
            key=lambda numbers: rank(numbers[value]),
        )
        ends = [end for end in self._meter.ends.get(value, ()) if end in numbers]
        return Found(min((numbers[end] for end in ends or [value]), key=rank), value)

    def _unmeasurable(self, reference: Reference, taken: set[int]) -> str | None:
        if reference.group[0] != "float":
            return NO_NUMBERS
        if reference.index in taken:
            return PASS_THROUGH
        if reference.size.largest == 0:
            return nothing(reference.tensor).reason
        return CONSTANT if reference.constant else None

    def _entering(self, call: ModuleCall) -> float | None:
        numbers = []
        for reference in self._references.borders[call.order].inputs.references:
            found = self._found(reference) if self._unmeasurable(reference, set()) is None else None
            if found is not None and not isinstance(found.number, Undefined):
                numbers.append(found.number)
        return min(numbers, default=None)

    def _found(self, reference: Reference) -> Found | None:
        if reference.index not in self._of:
            own = self._own(reference.index)
            doubtful = own is None or (
                not isinstance(own.number, Undefined) and own.number < UNRELATED and not self._surely(reference.index)
            )
            if doubtful:
                own = self._further_along(reference) or own
            self._of[reference.index] = own
        return self._of[reference.index]

    def _surely(self, index: int) -> bool:
        return index in self._meter.named or index in self._meter.instead

    def _own(self, index: int) -> Found | None:
        index = self._meter.instead.get(index, index)
        numbers = self._meter.numbers.get(index)
        if not numbers:
            return None
        start = self._meter.named.get(index)
        if start is None or start not in numbers:
            own = [value for value in numbers if self._is_closest(value, numbers)]
            if not own:
                return None
            start = max(own, key=lambda value: rank(numbers[value]))
            if self._meter.expected.isdisjoint({index}) and rank(numbers[start]) < UNRELATED:
                return None
        ends = [end for end in self._meter.ends.get(start, ()) if end in numbers and self._is_closest(end, numbers)]
        return Found(min((numbers[end] for end in ends or [start]), key=rank), start)

    def _is_closest(self, value: ir.Value, numbers: Numbers) -> bool:
        return self._closest[value] <= rank(numbers[value]) + CLEARLY

    def _further_along(self, reference: Reference) -> Found | None:
        for call in self._absorbing(reference.index, _ABSORBED):
            for result in self._references.borders[call.order].outputs.references:
                found = self._own(result.index) if self._unmeasurable(result, set()) is None else None
                if found is not None and (self._surely(result.index) or rank(found.number) >= UNRELATED):
                    return found
        return None

    def _absorbing(self, index: int, left: int) -> Iterator[ModuleCall]:
        """Calls that take nothing else than a reference, and those that take their result, nearest first."""
        for call in self._takers.get(index, ()) if left else ():
            border = self._references.borders[call.order]
            if border.inputs.ids != {index} or len(border.outputs.references) != 1:
                continue
            yield call
            yield from self._absorbing(border.outputs.references[0].index, left - 1)
