"""Writing a report's files, together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pytest_htp.cycles import no_search_for_cycles
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import AtomicFiles
from pytest_htp.report.html import render_pages
from pytest_htp.report.markdown import SUMMARY_LIMIT, render_markdown
from pytest_htp.report.model import dump_report
from pytest_htp.report.result import Report

_FURTHER_PAGE = re.compile(r"exports-\d+\.html")
_STEP_SUMMARY_LIMIT = 1024 * 1024  # bytes; GitHub drops the whole job summary above it


@no_search_for_cycles()
def write_reports(
    report: Report,
    directory: Path,
    *,
    step_summary: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """Write ``index.html`` (with more than a hundred exports, further pages beside it), ``summary.md`` and
    ``report.json`` into ``directory`` (made if missing). ``step_summary``: also append the summary to the file that
    ``$GITHUB_STEP_SUMMARY`` names, where set.

    Returns:
        The paths by ``"html"``, ``"markdown"`` and ``"json"``.

    Raises:
        HTPUsageError: the directory can't be made or written to.
    """
    paths = {"html": directory / "index.html", "markdown": directory / "summary.md", "json": directory / "report.json"}
    pages = set()
    try:
        with AtomicFiles() as files:  # all of the new report or all of the old one
            for name, text in render_pages(report):
                files.stage(directory / name, [text])
                pages.add(name)
            files.stage(paths["markdown"], [render_markdown(report)])
            files.stage(paths["json"], [dump_report(report)])
            files.commit()
        for path in directory.iterdir():
            if _FURTHER_PAGE.fullmatch(path.name) and path.name not in pages:  # of a larger report that was here
                path.unlink()
    except OSError as error:
        raise HTPUsageError(
            f"the report can't be written to {directory}: {error.strerror or error}; "
            "choose a writable directory with --htp-report=DIR"
        ) from error
    if step_summary and (target := environ.get("GITHUB_STEP_SUMMARY")):
        append_step_summary(report, Path(target))
    return paths


def append_step_summary(report: Report, target: Path) -> None:
    """Append the summary to a GitHub job summary, trimmed to the room that earlier output left."""
    used = target.stat().st_size if target.exists() else 0
    limit = min(SUMMARY_LIMIT, _STEP_SUMMARY_LIMIT - used - 1024)
    if limit < 1024:  # not even a verdict line: a longer file would lose all of it
        return
    with target.open("a", encoding="utf-8", newline="\n") as file:
        file.write(("\n" if used else "") + render_markdown(report, limit=limit))
