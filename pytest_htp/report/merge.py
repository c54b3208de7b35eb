"""Several shards' reports as one: the same verdicts, findings, totals and order as a single run."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.strict_json import strict_loads
from pytest_htp.report.model import build_report
from pytest_htp.report.result import SCHEMA, ExportResult, Incomplete, Report, report_of
from pytest_htp.report.write import write_reports
from pytest_htp.text import plural, some

_SHOWN = 8  # shards or tests that a sentence names
_FOLDER = re.compile(r"exports/([\w.-]+)")


def merge_reports(directories: Sequence[Path], output: Path, *, count: int | None = None) -> Report:
    """Merge the reports in ``directories`` (each holds a report.json) and write the result into ``output``.

    The same (nodeid, name) in several shards counts once: the worst verdict wins, of equals the last shard,
    and a note says so; another note says which exports of different shards have equal records. The exports' folders are
    copied. Where a shard is missing, the result is incomplete.

    Args:
        directories: each holds a ``report.json``.
        output: folder of the merged report, made if missing.
        count: of the shards; None: as the reports say, if they do.

    Raises:
        HTPUsageError: a directory without a readable report, or an output that is one of the inputs.
    """
    if not directories:
        raise HTPUsageError("htp merge needs at least one directory that holds a report.json")
    for directory in directories:
        if directory.resolve() == output.resolve():
            raise HTPUsageError(f"{output} is both an input and the output; give another directory with -o")
    shards = [(directory, read_report(directory)) for directory in directories]
    reports = [shard for _, shard in shards]
    chosen, notes = _choose(shards)
    notes += _equal_exports(chosen)
    merged = build_report(
        [result for _, result in chosen],
        _environment([shard.environment for shard in reports], notes),
        notes=[*dict.fromkeys(note for shard in reports for note in shard.notes), *notes],
        incomplete=[*(entry for _, shard in shards for entry in shard.incomplete), *_missing_shards(reports, count)],
    )
    try:
        for directory, result in chosen:
            _copy_artifacts(directory, output, result)
    except OSError as error:
        raise HTPUsageError(f"the exports' files can't be copied to {output}: {error}") from error
    try:
        write_reports(merged, output)
    except HTPUsageError:
        raise
    except Exception as error:  # a report holds more than its schema can say: nesting, sums, texts of any length
        raise HTPUsageError(
            f"the merged report can't be drawn ({type(error).__name__}: {error}); "
            "are all report.json files as pytest --htp-report wrote them?"
        ) from error
    return merged


def read_report(directory: Path) -> Report:
    """``directory/report.json``, checked against the published schema.

    Raises:
        HTPUsageError: it is missing, no JSON, of another schema, or does not fit it.
    """
    path = directory / "report.json"
    try:
        text = path.read_text(encoding="utf-8")
        values: object = strict_loads(text)
    except OSError as error:
        reason = error.strerror or error
        raise HTPUsageError(f"{path}: {reason}; expected a directory that pytest --htp-report=DIR wrote") from error
    except (ValueError, RecursionError) as error:
        raise HTPUsageError(f"{path} is not JSON ({error}); was its upload cut short?") from error
    found = values.get("schema") if isinstance(values, dict) else None
    if found != SCHEMA:
        raise HTPUsageError(f"{path}: expected a report with schema {SCHEMA!r}, found {found!r}")
    try:
        return report_of(values)
    except HTPUsageError as error:
        raise HTPUsageError(f"{path} does not fit its schema: {error}") from error


def _missing_shards(reports: Sequence[Report], count: int | None = None) -> list[Incomplete]:
    """An entry for the shards without a report, by number where the reports say theirs; none where all are there.

    ``count`` None: as many as the reports say, the largest where they differ.
    """
    known = [report.shard for report in reports if report.shard is not None]
    total = max([shard.of for shard in known], default=0) if count is None else count
    if len(known) == len(reports):
        missing = [number for number in range(1, total + 1) if number not in {shard.number for shard in known}]
    else:  # which ones, can't be determined
        missing = list(range(len(reports), total))
    if not missing:
        return []
    which = f": {some([*map(str, missing)], _SHOWN, rest=' and others')}" if len(known) == len(reports) else ""
    message = f"{len(missing)} of {total} shards left no report{which}"
    return [Incomplete(nodeid="", outcome="lost", message=message)]


def _equal_exports(chosen: Sequence[tuple[Path, ExportResult]]) -> list[str]:
    """A note on exports that several shards seem to have made: equal records, and equal differences from PyTorch.

    Differences, as measured, depend on weights and inputs; where they were not measured, nothing is said.
    """
    places: dict[bytes, dict[Path, ExportResult]] = {}
    for directory, result in chosen:
        parity = result.parity or {}
        if result.record is None or not parity.get("measured") or result.cached or result.shared_with is not None:
            continue
        digest = sha256(json.dumps([result.record, parity], sort_keys=True).encode()).digest()
        places.setdefault(digest, {}).setdefault(directory, result)
    groups = [list(found.values()) for found in places.values() if len(found) > 1]
    if not groups:
        return []
    first = ", ".join(sorted(result.nodeid for result in groups[0])[:_SHOWN])
    again = plural(sum(len(group) - 1 for group in groups), "export")
    return [f"{again} more than one shard seems to have made (equal record, equal parity), such as {first}"]


def _choose(shards: Sequence[tuple[Path, Report]]) -> tuple[list[tuple[Path, ExportResult]], list[str]]:
    chosen: dict[tuple[str, str], tuple[Path, ExportResult]] = {}
    seen: dict[tuple[str, str], int] = {}
    for directory, shard in shards:
        for result in shard.exports:
            key = (result.nodeid, result.name)
            seen[key] = seen.get(key, 0) + 1
            known = chosen.get(key)
            if known is None or VERDICTS.index(result.verdict) <= VERDICTS.index(known[1].verdict):
                chosen[key] = (directory, result)
    notes = [
        f"{nodeid} ({name}) ran in {count} shards; counted once: {chosen[nodeid, name][1].verdict}"
        for (nodeid, name), count in sorted(seen.items())
        if count > 1
    ]
    return list(chosen.values()), notes


def _environment(environments: Sequence[Mapping[str, object]], notes: list[str]) -> dict[str, object]:
    """The common environment; where shards differ, all values, and a note."""
    merged: dict[str, object] = {}
    for name in sorted({name for environment in environments for name in environment}):
        values = [environment[name] for environment in environments if name in environment]
        tables = [value for value in values if isinstance(value, Mapping)]
        if len(tables) == len(values):
            merged[name] = _environment(tables, notes)
        elif all(value == values[0] for value in values):
            merged[name] = values[0]
        else:
            merged[name] = ", ".join(sorted({str(value) for value in values}))
            notes.append(f"the shards ran with different {name}: {merged[name]}")
    return merged


def _copy_artifacts(directory: Path, output: Path, result: ExportResult) -> None:
    """Copy an export's folder; a path that does not lie in ``exports/``, and symbolic links, are left out."""
    match = _FOLDER.fullmatch(result.artifacts or "")
    if match is None or match[1].strip(".") == "":
        return
    source = directory / "exports" / match[1]
    if not source.is_dir() or source.is_symlink():
        return
    target = output / "exports" / match[1]
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=_links)


def _links(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if Path(folder, name).is_symlink()}
