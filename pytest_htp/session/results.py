"""The rows of the report: an export that a test made, failed to make, or no longer makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import convert

from pytest_htp.compare.finding import Comparison, Finding
from pytest_htp.errors import HTPExportError
from pytest_htp.format.record import CoverageRow, Record
from pytest_htp.format.serialize import dict_of
from pytest_htp.report.result import (
    BaselineState,
    ExportResult,
    FindingRow,
    StageResult,
    StepError,
    StepRow,
    TargetResult,
)
from pytest_htp.session.identity import nodeid_of, place_of

if TYPE_CHECKING:
    from pytest_htp.session.judge import Judgement
    from pytest_htp.session.sharing import Made

Row = Callable[..., ExportResult]


def row_of(item: pytest.Item, export_name: str, fail_on: str | None) -> Row:
    """Makes the row of an export of this test, given the rest of its fields."""
    file, line = place_of(item)
    return partial(
        ExportResult,
        nodeid=nodeid_of(item),
        name=item.name + (f" [{export_name}]" if export_name else ""),
        file=file,
        line=line,
        fail_on=fail_on,
    )


def failed_row(row: Row, error: HTPExportError, before: Record | None, **more: object) -> ExportResult:
    """An export that did not finish: what the earlier steps produced, and the record of its baseline."""
    data = error.data
    finding = Finding("step.failed", str(error).partition("\n")[0], before=None, after=error.step.value)
    return row(
        model_class=data.model_class or _class(before),
        verdict=finding["verdict"],
        outcome="failed",
        findings=_findings([finding]),
        steps=convert(data.steps, dict[str, StepRow]),
        seconds=data.export_time,
        coverage=convert(data.tagging_stats, CoverageRow) if data.tagging_stats else None,
        coverage_before=before.coverage if before is not None else None,
        console_html=error.console_html,
        before=dict_of(before) if before is not None else None,
        error=StepError(step=error.step.value, type=type(error.cause).__name__, message=str(error)),
        **more,
    )


def made_row(
    row: Row, made: Made, record: Record, before: Record | None, found: Judgement, **more: object
) -> ExportResult:
    """An export that was made and judged; ``record`` is today's, ``before`` its baseline's."""
    export = made.export
    return row(
        verdict=found.comparison.verdict,
        outcome="failed" if found.failed else "passed",
        findings=_findings(found.comparison.findings),
        coverage=record.coverage,
        coverage_before=before.coverage if before is not None else None,
        parity=export.data.parity,
        attestation=export.attestation,
        steps=convert(export.data.steps, dict[str, StepRow]),
        stages=[_stage_result(stage) for stage in export.data.stages],
        seconds=export.data.export_time,
        nodes=export.coverage.total_nodes,
        bytes=record.weights.initializers.bytes,
        baseline_status=found.state,
        record=dict_of(record),
        before=dict_of(before) if before is not None else None,
        tokens=record.tokens,
        targets=[convert(target, TargetResult, from_attributes=True) for target in export.targets.values()],
        shared_with=made.shared_with,
        cached=made.cached,
        cache_note=made.note,
        console=export.console,
        console_html=export.console_html,
        **more,
    )


def missing_row(row: Row, found: Comparison, before: Record | None, *, failed: bool, **more: object) -> ExportResult:
    """A baseline whose export the test no longer makes."""
    return row(
        verdict=found.verdict,
        outcome="failed" if failed else "passed",
        findings=_findings(found.findings),
        coverage_before=before.coverage if before is not None else None,
        baseline_status=BaselineState.NO_EXPORT,
        model_class=_class(before),
        before=dict_of(before) if before is not None else None,
        **more,
    )


def _findings(findings: Iterable[Finding]) -> list[FindingRow]:
    return [convert(dict(finding), FindingRow) for finding in findings]


def _class(record: Record | None) -> str | None:
    return record.model.class_name if record is not None else None


def _stage_result(described: Mapping[str, Any]) -> StageResult:
    """A stage as the report has it, from the export's data."""
    stats = described.get("tagging_stats")
    quality = described.get("quality", {})
    skipped = "a stage before it failed" if described["status"] == "skipped" else None
    return StageResult(
        name=described["name"],
        seconds=described.get("seconds"),
        error=described.get("message", skipped),
        nodes=stats["total_nodes"] if stats else None,
        coverage=convert(stats, CoverageRow) if stats else None,
        parity=described.get("parity"),
        quality=quality.get("modules"),
        output_quality=quality.get("outputs"),
    )
