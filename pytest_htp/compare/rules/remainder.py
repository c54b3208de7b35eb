"""record.changed: the record differs and no other finding says so. Nothing differs in silence."""

from __future__ import annotations

from msgspec import to_builtins

from pytest_htp.compare.context import Context
from pytest_htp.compare.rules.targets import changed_targets
from pytest_htp.format.fold import fold_paths

# The others have thresholds of their own (coverage, parity) or depend on what is installed (attestation).
_SECTIONS = ("model", "opset", "inputs", "outputs", "graph", "weights", "untagged")


def report_remainder(context: Context) -> None:
    if any(draft.code != "toolchain.changed" for draft in context.drafts):
        return
    parts = []
    for section in _SECTIONS:
        old, new = (to_builtins(getattr(record, section)) for record in (context.before, context.after))
        if section in ("inputs", "outputs"):
            names = [section] if old != new else []
        else:
            keys = sorted(old.keys() | new.keys())
            names = [f"{section}.{key}" for key in keys if old.get(key) != new.get(key) and not _expected(section, key)]
            names = [name for name in names if not _unmeasured(context, name)]
        parts += names
    parts += changed_targets(context.before, context.after)
    modules = fold_paths(pair.path for pair in context.modules.changed)
    if modules:
        parts.append("modules " + ", ".join(path or "the root" for path in modules[:4]))
    if parts:
        more = f" and {len(parts) - 8} more" if len(parts) > 8 else ""
        context.report("record.changed", f"differs without a finding: {', '.join(parts[:8])}{more}")


def _expected(section: str, key: str) -> bool:
    return section == "model" and key == "exporter"  # toolchain.changed says it


def _unmeasured(context: Context, name: str) -> bool:
    """Duplicates are known only where weights were kept."""
    kept = context.before.weights.kept and context.after.weights.kept
    return name in ("weights.duplicates", "weights.kept") and not kept
