"""Stages of an export compared with the baseline's by the same rules. What only follows the export is not repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_htp.compare.changes import differences
from pytest_htp.compare.context import Context, Draft
from pytest_htp.compare.match import index_rows
from pytest_htp.compare.rules import quality, quantization

# Consequences of running quantized or in float, which quantization.* stands for.
_OF_QUANTIZATION = frozenset(
    ("weights.dtype", "weights.grown", "dtype.internal", "domain.added", "ops.changed", "ops.exploded", "fusion.lost",
     "fusion.gained", "weights.duplicated", "direct.dropped")
)  # fmt: skip
_OF_OPERATORS = frozenset(("ops.changed", "ops.exploded"))


def compare_stages(context: Context, rules: Sequence[Callable[[Context], None]]) -> None:
    """Run ``rules`` over each stage that both sides have, and add what is new there to ``context``."""
    before = {stage["name"]: stage for stage in context.before.get("stages", ())}
    for stage in context.after.get("stages", ()):
        name = stage["name"]
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
        context.drafts += [draft for draft in inner.drafts if not _follows(draft, inner, context)]
    gone = [name for name in before if name not in {stage["name"] for stage in context.after.get("stages", ())}]
    if gone and context.after.get("stages"):
        context.report("record.changed", f"stages no longer made: {', '.join(gone)}", before=gone)


def _record(stage: Mapping[str, Any], export: Mapping[str, Any]) -> dict[str, Any]:
    return {**stage, "model": export["model"], "toolchain": export["toolchain"]}


def _follows(draft: Draft, inner: Context, export: Context) -> bool:
    """Whether a stage's finding says no more than what the export's, or another of the stage, already says."""
    if draft.code in ("toolchain.changed", "record.changed"):
        return True
    quantized = set().union(*(inner.modules_by_code.get(code, ()) for code in quantization.CODES))
    if draft.code in _OF_QUANTIZATION and quantized and (draft.module is None or draft.module in quantized):
        return True
    same = [other for other in export.drafts if other.stage is None and other.code == draft.code]
    if draft.module is None:
        return bool(same)
    if any(other.module == draft.module for other in same):
        return True
    concerned = {pair.path for pair in export.modules.changed if pair.change.structural}
    concerned |= {*export.modules.added, *export.modules.removed}
    return draft.module in concerned and (
        draft.code in _OF_OPERATORS or _delta(draft.module, inner) == _delta(draft.module, export)
    )


def _delta(path: str, context: Context) -> dict[str, int]:
    rows = (index_rows(record["modules"]).get(path) or {} for record in (context.before, context.after))
    before, after = (row.get("ops", {}) for row in rows)
    return differences(before, after)
