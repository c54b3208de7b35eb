"""Observing an export: the monitor, its writers, the live display, the module tree.

Nothing here imports torch or onnx; rich is imported when a console writer is made or a live line is drawn.
"""

from pytest_htp.monitor.config import MonitorConfig
from pytest_htp.monitor.console import HTPConsoleWriter
from pytest_htp.monitor.live import LiveProgress
from pytest_htp.monitor.metadata import HTPMetadataWriter
from pytest_htp.monitor.monitor import HTPExportMonitor
from pytest_htp.monitor.report import HTPReportWriter
from pytest_htp.monitor.writer import StepAwareWriter, handles

__all__ = [
    "HTPConsoleWriter",
    "HTPExportMonitor",
    "HTPMetadataWriter",
    "HTPReportWriter",
    "LiveProgress",
    "MonitorConfig",
    "StepAwareWriter",
    "handles",
]
