"""The export itself: eight steps, usable without pytest."""

from pytest_htp.exporter.exporter import HTPExporter
from pytest_htp.exporter.result import HTPExport, HTPStage

__all__ = ["HTPExport", "HTPExporter", "HTPStage"]
