"""Stages of an export compared with the baseline's by the same rules. What only follows the export is not repeated."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from msgspec.structs import replace

from pytest_htp.compare.changes import bare, differences
from pytest_htp.compare.context import Context, Draft
from pytest_htp.compare.match import index_rows
from pytest_htp.compare.rules import quality, quantization
from pytest_htp.format.paths import Neighbourhood
from pytest_htp.format.record import GraphRecord, Record, StageRecord

# Consequences of running quantized or in float, which quantization.* stands for.
_OF_QUANTIZATION = frozenset(
    ("weights.dtype", "weights.grown", "dtype.internal", "domain.added", "ops.changed", "ops.exploded", "fusion.lost",
     "fusion.gained", "weights.duplicated", "direct.dropped")
)  # fmt: skip
_OF_PRECISION = frozenset(("dtype.internal", "weights.dtype"))
_OF_OPERATORS = frozenset(("ops.changed", "ops.exploded"))


# Operators that a stage puts in and takes out where values pass from one precision, type or layout to another.
_OF_BORDERS = frozenset(
    ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Transpose", "Reshape", "Identity")
)


def compare_stages(context: Context, rules: Sequence[Callable[[Context], None]]) -> None:
    """Run ``rules`` over each stage that both sides have, and add what is new there to ``context``."""
    before = {stage.name: stage for stage in context.before.stages}
    earlier = [context]
    exported = list(context.drafts)
    for stage in context.after.stages:
        name = stage.name
        if name not in before:
            continue
        inner = Context(
            before=_record(before[name], context.before),
            after=_record(stage, context.after),
            policy=context.policy,
            coverage_tolerance=context.coverage_tolerance,
            quality_tolerance=context.quality_tolerance,
            toolchain_changed=context.toolchain_changed,
            stage=name,
            export=context.after,
        )
        quantization.compare_quantization(inner)
        for rule in rules:
            rule(inner)
        quality.compare_quality(inner)
        if inner.reported("quality.worse"):  # in dB, and with the module where it begins
            inner.drafts = [draft for draft in inner.drafts if draft.code != "parity.worse"]
        quantized = set().union(*(each.modules_by_code.get(code, ()) for each in (*earlier, inner)
                                  for code in quantization.CODES))  # fmt: skip
        known = [(exported, context), *((each.drafts, each) for each in earlier[1:])]
        context.drafts += [
            draft
            for draft in inner.drafts
            if not (_of_quantization(draft, quantized) or any(_follows(draft, inner, *each) for each in known))
        ]
        earlier.append(inner)
    gone = [name for name in before if name not in {stage.name for stage in context.after.stages}]
    if gone:
        context.report("record.changed", f"stages no longer made: {', '.join(gone)}", before=gone)


def _record(stage: StageRecord, export: Record) -> Record:
    """A stage as if it were an export of that model."""
    graph = {name: getattr(stage, name) for name in GraphRecord.__struct_fields__}
    return replace(export, **graph, quality=stage.quality, stages=[], targets=[], tokens=None, unobserved=[])


def _of_quantization(draft: Draft, quantized: Container[str | None]) -> bool:
    return draft.code in _OF_QUANTIZATION and bool(quantized) and (draft.module is None or draft.module in quantized)


def _follows(draft: Draft, inner: Context, known: Sequence[Draft], source: Context) -> bool:
    """Whether a stage's finding says no more than what is already said of ``source``, the export or an earlier stage,
    whose findings are ``known``.
    """
    if draft.code in ("toolchain.changed", "record.changed"):
        return True
    alike = _OF_PRECISION if draft.code in _OF_PRECISION else (draft.code,)
    same = [other for other in known if other.code in alike]
    if draft.module is None:
        return bool(same)
    if any(other.module == draft.module for other in same):
        return True
    concerned = {pair.path for pair in source.modules.changed if pair.change.structural}
    concerned |= {*source.modules.added, *source.modules.removed}
    if draft.code == "direct.dropped":
        return concerned.issuperset(inner.modules_by_code[draft.code])
    if draft.module in concerned:
        return draft.code in _OF_OPERATORS or _delta(draft.module, inner) == _delta(draft.module, source)
    # Values beside what changed are handed on in another form.
    at_borders = set(map(bare, _delta(draft.module, inner))) <= _OF_BORDERS
    return draft.code in _OF_OPERATORS and at_borders and draft.module in Neighbourhood(concerned - {""})


def _delta(path: str, context: Context) -> dict[str, int]:
    rows = (index_rows(record.modules).get(path) for record in (context.before, context.after))
    before, after = ({} if row is None else row.ops for row in rows)
    return differences(before, after)
