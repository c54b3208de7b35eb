"""toolchain.changed: other versions than the baseline's, the likeliest cause of everything else."""

from __future__ import annotations

from pytest_htp.compare.context import Context
from pytest_htp.format.record import Record

Changed = tuple[tuple[str, str | None, str | None], ...]


def changed_versions(before: Record, after: Record) -> Changed:
    """``(name, before, after)`` of each package whose version differs, of the exporter, and of descriptions."""
    old, new = before.toolchain, after.toolchain
    changed = [
        (name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    exporters = before.model.exporter, after.model.exporter
    if exporters[0] != exporters[1]:
        changed.append(("exporter", *exporters))
    if before.fingerprint_version != after.fingerprint_version:
        changed.append(("fingerprints", str(before.fingerprint_version), str(after.fingerprint_version)))
    if before.program_version != after.program_version and any(row.program is not None for row in before.modules):
        changed.append(("descriptions of programs", str(before.program_version), str(after.program_version)))
    return tuple(changed)


def report_toolchain(context: Context) -> None:
    changed = context.toolchain_changed
    if changed:
        context.report(
            "toolchain.changed",
            ", ".join(f"{name} {old or 'absent'} -> {new or 'absent'}" for name, old, new in changed),
            before={name: old for name, old, _ in changed},
            after={name: new for name, _, new in changed},
        )
