"""What the rules share while two records are compared: the records, the matched modules, and what is accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pytest_htp.compare.changes import Change, Pair
from pytest_htp.compare.finding import Finding, finding_order
from pytest_htp.compare.lines import Difference
from pytest_htp.compare.match import Modules, match_modules
from pytest_htp.compare.policy import IGNORE, Policy
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.paths import common_prefix, natural_key
from pytest_htp.format.record import Record
from pytest_htp.text import some


class Draft(NamedTuple):
    """A finding as a rule reports it, with a raw path, before equal ones are folded and policies give verdicts."""

    code: str
    module: str | None
    message: str
    before: Any
    after: Any
    stage: str | None = None


QUALITY_TOLERANCE = 6.0  # dB, where nothing else is asked for: twice the noise in amplitude, one bit


@dataclass
class Context:
    """One comparison in progress. Rules run in order; each reports findings and claims what they account for.

    One fault must give one finding, so a module whose change a finding explains is *claimed*: it leaves ``open``
    and later, less specific rules don't see it.
    """

    before: Record
    after: Record
    policy: Policy = field(default_factory=Policy)
    coverage_tolerance: float = 0.0
    min_coverage: float | None = None
    quality_tolerance: float = QUALITY_TOLERANCE
    stage: str | None = None
    export: Record | None = None  # of a stage: the record of what it was made of
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    toolchain_changed: tuple[tuple[str, str | None, str | None], ...] = ()
    drafts: list[Draft] = field(default_factory=list)
    modules_by_code: dict[str, set[str]] = field(default_factory=dict)
    words: dict[str, list[Difference]] = field(default_factory=dict)  # what of a program changed by itself, by path

    @cached_property
    def modules(self) -> Modules:
        """Which module of the one record is which of the other."""
        if self.before.modules == self.after.modules:
            return Modules()
        return match_modules(self.before.modules, self.after.modules)

    @cached_property
    def open(self) -> dict[str, Pair]:
        """Structurally changed modules by path that no finding explains yet, in natural order."""
        pairs = [pair for pair in self.modules.changed if pair.change.structural]
        return {pair.path: pair for pair in sorted(pairs, key=lambda pair: natural_key(pair.path))}

    def claim(self, *paths: str) -> None:
        """Take modules out of ``open``: a finding accounts for their change."""
        for path in paths:
            self.open.pop(path, None)

    def same(self, path: str) -> Pair:
        """A module that itself is what it was."""
        row = self.modules.after[path]
        return Pair(path, path, Change(row, row))

    def report(
        self, code: str, message: str, *, module: str | None = None, before: object = None, after: object = None,
        stage: str | None = None,
    ) -> None:  # fmt: skip
        """Report a finding. ``module`` is a raw path; equal findings of repeated layers fold, so the message must not
        name the module itself.
        """
        self.drafts.append(Draft(code, module, message, before, after, stage or self.stage))
        reported = self.modules_by_code.setdefault(code, set())
        if module is not None:
            reported.add(module)

    def report_once(
        self, code: str, message: str, paths: Iterable[str], *, before: object = None, after: object = None
    ) -> None:
        """One finding however many modules it concerns: their common pattern, else the innermost module around them."""
        modules = set(paths)
        patterns = fold_paths(modules)
        if len(patterns) > 1:
            message += f", in {some([pattern or 'the root' for pattern in patterns], 4)}"
            outer = common_prefix(sorted(modules))
            self.modules_by_code.setdefault(code, set()).update(modules)
            modules = {outer}
        concerned: list[str | None] = [*modules] or [None]
        for module in concerned:
            self.report(code, message, module=module, before=before, after=after)

    def reported(self, *codes: str) -> bool:
        """Whether a finding with one of the codes was reported."""
        return any(code in self.modules_by_code for code in codes)

    def source(self, pair: Pair) -> str:
        """`` (at models/net.py:42)``: the line of an operator the module gained; says nothing when the toolchain
        changed, for then the line is not what changed.
        """
        lines = self.sources.get(pair.path)
        if not lines or self.toolchain_changed:
            return ""
        gained = [op for op, count in pair.change.ops.items() if count > 0] or list(pair.change.after.ops)
        found = sorted({lines[op] for op in gained if op in lines})
        return f" (at {', '.join(found[:3])})" if found and (pair.change.ops or len(found) == 1) else ""

    def findings(self) -> tuple[Finding, ...]:
        """Everything reported, folded, under the policy's verdicts, worst first."""
        groups: dict[tuple[str, str, str, str | None], list[Draft]] = {}
        for draft in self.drafts:
            if self.policy.verdict(draft.code) != IGNORE:
                key = draft.code, draft.message, repr((draft.before, draft.after)), draft.stage
                groups.setdefault(key, []).append(draft)
        placed = []
        for (code, message, _, stage), drafts in groups.items():
            first = drafts[0]
            modules: list[str | None] = list(fold_paths(d.module for d in drafts if d.module is not None))
            if any(draft.module is None for draft in drafts):
                modules.append(None)
            verdict = self.policy.verdict(code)
            for module in modules:
                finding = Finding(
                    code, message, module=module, before=first.before, after=first.after, verdict=verdict, stage=stage
                )
                place = (module is not None, natural_key(module or ""))
                placed.append(((*finding_order(finding), place, message), finding))
        placed.sort(key=lambda entry: entry[0])
        return tuple(finding for _, finding in placed)
