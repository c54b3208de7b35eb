"""The published JSON Schema of report.json, made from its type (``python -m pytest_htp.report.schema``)."""

from __future__ import annotations

from pytest_htp.format.schema import FOLDER, schema_text
from pytest_htp.report.result import Report

NAME = "report.schema.json"


def report_schema() -> str:
    """The file's text."""
    return schema_text(Report, "report.json, as pytest --htp-report and htp merge write it: bytes, seconds, percent")


if __name__ == "__main__":
    (FOLDER / NAME).write_text(report_schema(), encoding="utf-8", newline="\n")
