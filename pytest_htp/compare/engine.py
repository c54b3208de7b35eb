"""``compare_exports``: two records in, findings out. Pure: no files, no clock, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pytest_htp.compare.context import QUALITY_TOLERANCE, Context
from pytest_htp.compare.finding import Comparison
from pytest_htp.compare.policy import Policy
from pytest_htp.compare.rules import RULES
from pytest_htp.compare.rules.quality import compare_quality
from pytest_htp.compare.rules.toolchain import changed_versions
from pytest_htp.compare.stages import compare_stages
from pytest_htp.cycles import no_search_for_cycles
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.read import record_of
from pytest_htp.format.record import ModuleRow, Record


def compare_exports(
    baseline: Mapping[str, object] | Record,
    current: Mapping[str, object] | Record,
    *,
    policy: Policy | str | None = None,
    coverage_tolerance: float = 0.0,
    min_coverage: float | None = None,
    quality_tolerance: float = QUALITY_TOLERANCE,
    sources: Mapping[str, Mapping[str, str]] | None = None,
) -> Comparison:
    """Classify every difference between two export records. Linear in the number of modules.

    Args:
        baseline: record (``HTPExport.record``, or a baseline file read with ``pytest_htp.format.load``), folded or not.
        current: record to compare with it.
        policy: other verdicts per code, parsed or as ``"ops.changed:ignore opset.changed:drift"``.
        coverage_tolerance: percentage points by which coverage and direct coverage may drop.
        min_coverage: coverage in percent below which ``coverage.dropped`` is reported whatever the baseline says.
        quality_tolerance: dB by which a stage's SQNR may fall or rise.
        sources: raw module path → {operator: ``"models/net.py:42"``} of the current export, to name the
            user's line.

    Raises:
        HTPUsageError: an argument is no record of this schema, or an option is out of range.
    """
    for name, value in (("coverage_tolerance", coverage_tolerance), ("min_coverage", min_coverage)):
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= 100):
            raise HTPUsageError(f"{name} must be from 0 to 100 (percent), got {value!r}")
    if not (isinstance(quality_tolerance, (int, float)) and quality_tolerance >= 0):
        raise HTPUsageError(f"quality_tolerance must be 0 or more (dB), got {quality_tolerance!r}")
    records = []
    for role, given in (("baseline", baseline), ("current", current)):
        try:
            records.append(given if isinstance(given, Record) else record_of(given))
        except HTPUsageError as error:
            raise HTPUsageError(f"compare_exports: {role}: {error}") from None
    before, after = records
    changed = changed_versions(before, after)
    if before.fingerprint_version != after.fingerprint_version:
        before, after = (_without(record, fingerprint=None) for record in (before, after))
    if before.program_version != after.program_version:
        before, after = (
            replace(_without(record, program=None), weights=replace(record.weights, tables=[]))
            for record in (before, after)
        )
    context = Context(
        before=before,
        after=after,
        policy=Policy.parse(policy) if isinstance(policy, str) else policy or Policy(),
        coverage_tolerance=coverage_tolerance,
        min_coverage=min_coverage,
        quality_tolerance=quality_tolerance,
        sources=sources or {},
        toolchain_changed=changed,
    )
    with no_search_for_cycles():
        for rule in RULES:
            rule(context)
        compare_quality(context)  # of an export that is quantized itself
        compare_stages(context, RULES)
        return Comparison(context.findings(), context.toolchain_changed)


def _without(record: Record, **column: None) -> Record:
    """What is left to compare where another algorithm made the fingerprints: programs, which rows of edition 1 lack;
    where programs are in other words: fingerprints.
    """

    def plain(rows: Iterable[ModuleRow]) -> list[ModuleRow]:
        return [replace(row, **column) for row in rows]

    stages = [replace(stage, modules=plain(stage.modules)) for stage in record.stages]
    return replace(record, modules=plain(record.modules), stages=stages)
