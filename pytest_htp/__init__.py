"""pytest-htp: a pytest plugin that notices when a model's ONNX export changes.

Importing this package is cheap on purpose: pytest imports the parent package of every entry point in every run
on the machine, so public names resolve lazily (PEP 562) and nothing here imports torch, onnx, rich or numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_htp.compare.engine import compare_exports
    from pytest_htp.compare.finding import Comparison, Finding
    from pytest_htp.errors import HTPExportError, HTPUsageError
    from pytest_htp.exporter.exporter import HTPExporter
    from pytest_htp.exporter.result import HTPExport, HTPStage
    from pytest_htp.format.load import load as load_baseline
    from pytest_htp.monitor.console import HTPConsoleWriter
    from pytest_htp.monitor.metadata import HTPMetadataWriter
    from pytest_htp.monitor.monitor import HTPExportMonitor
    from pytest_htp.monitor.report import HTPReportWriter
    from pytest_htp.monitor.writer import StepAwareWriter, handles
    from pytest_htp.session.gate import HtpExportFixture
    from pytest_htp.stages import Stage
    from pytest_htp.tag import HierarchyTag
    from pytest_htp.targets import HTPTarget, Target
    from pytest_htp.targets.messages import CompileAnswer, CompiledNode, CompileRequest
    from pytest_htp.vocabulary import HTPExportData, HTPExportStep, ModuleInfo

__version__ = "0.1.0"

_NAMES = {
    "vocabulary": ("HTPExportData", "HTPExportStep", "ModuleInfo"),
    "monitor.console": ("HTPConsoleWriter",),
    "monitor.monitor": ("HTPExportMonitor",),
    "monitor.metadata": ("HTPMetadataWriter",),
    "monitor.report": ("HTPReportWriter",),
    "monitor.writer": ("StepAwareWriter", "handles"),
    "exporter.exporter": ("HTPExporter",),
    "exporter.result": ("HTPExport", "HTPStage"),
    "stages": ("Stage",),
    "errors": ("HTPExportError", "HTPUsageError"),
    "tag": ("HierarchyTag",),
    "targets": ("HTPTarget", "Target"),
    "targets.messages": ("CompileAnswer", "CompileRequest", "CompiledNode"),
    "compare.engine": ("compare_exports",),
    "compare.finding": ("Comparison", "Finding"),
    "session.gate": ("HtpExportFixture",),
    "format.load": ("load_baseline",),
}  # fmt: skip
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Comparison",
    "CompileAnswer",
    "CompileRequest",
    "CompiledNode",
    "Finding",
    "HTPConsoleWriter",
    "HTPExport",
    "HTPExportData",
    "HTPExportError",
    "HTPExportMonitor",
    "HTPExportStep",
    "HTPExporter",
    "HTPMetadataWriter",
    "HTPReportWriter",
    "HTPStage",
    "HTPTarget",
    "HTPUsageError",
    "HierarchyTag",
    "HtpExportFixture",
    "ModuleInfo",
    "Stage",
    "StepAwareWriter",
    "Target",
    "__version__",
    "compare_exports",
    "handles",
    "load_baseline",
]

if not TYPE_CHECKING:  # a type checker that saw this would believe any name

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), "load" if name == "load_baseline" else name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
