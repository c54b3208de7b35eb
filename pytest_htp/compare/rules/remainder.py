"""record.changed: the record differs and no other finding says so. Nothing differs in silence."""

from __future__ import annotations

from msgspec import to_builtins
from msgspec.structs import replace

from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.targets import changed_targets
from pytest_htp.format.fold import fold_paths
from pytest_htp.format.record import Record, TensorRow
from pytest_htp.text import some

# The others have thresholds of their own (coverage, parity) or depend on what is installed (attestation).
_SECTIONS = ("model", "opset", "graph", "weights", "untagged")


def report_remainder(context: Context) -> None:
    if any(draft.code != "toolchain.changed" for draft in context.drafts):
        return
    before, after = context.before, context.after
    parts = ["inputs"] if before.inputs != after.inputs else []
    parts += ["outputs"] if _outputs(before, after) != _outputs(after, before) else []
    for section in _SECTIONS:
        old, new = (to_builtins(getattr(record, section)) for record in (before, after))
        names = [f"{section}.{key}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        parts += [name for name in names if not _expected(context, name)]
    parts += changed_targets(before, after)
    modules = fold_paths(pair.path for pair in context.modules.changed)
    if modules:
        parts.append("modules " + ", ".join(path or "the root" for path in modules[:4]))
    if parts:
        context.report("record.changed", f"differs without a finding: {some(parts, 8)}")


def _outputs(record: Record, other: Record) -> list[TensorRow]:
    """Outputs without which of its module's values each is, where one of the records does not know (edition 1)."""
    known = all(any(row.value for row in each.outputs) for each in (record, other))
    return [row if known else replace(row, value=None) for row in record.outputs]


def _expected(context: Context, name: str) -> bool:
    """What another finding says, or one of the records does not hold."""
    before, after = context.before, context.after
    if name in ("weights.duplicates", "weights.kept"):
        return not (before.weights.kept and after.weights.kept)
    if name == "untagged.program":
        return before.untagged.program is None or after.untagged.program is None
    # toolchain.changed reports the one; of the other, what both records hold is compared, and nothing else.
    return name in ("model.exporter", "weights.tables")
