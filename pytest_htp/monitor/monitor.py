"""The monitor: one place to log the steps of an export to, any number of writers that observe it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pytest_htp.errors import HTPUsageError
from pytest_htp.format.atomic import AtomicFiles
from pytest_htp.monitor.config import MonitorConfig
from pytest_htp.monitor.console import HTPConsoleWriter
from pytest_htp.monitor.ledger import Ledger
from pytest_htp.monitor.metadata import HTPMetadataWriter
from pytest_htp.monitor.report import HTPReportWriter
from pytest_htp.monitor.writer import StepAwareWriter
from pytest_htp.vocabulary import HTPExportData, HTPExportStep

if TYPE_CHECKING:
    from os import PathLike

    from rich.console import Console

_ENDINGS = {
    "metadata": "_htp_metadata.json",
    "report": "_htp_export_report.txt",
    "console": "_htp_console.log",
}


class HTPExportMonitor:
    """Observes one export: logs its steps to the console, and to three files when finalized.

    Logging a step says that it is done; its status is "completed" unless the data's own ``steps`` says
    otherwise. Nothing else is assumed: a step without ``seconds`` in the data has none in any output.

    Args:
        output_path: the ``.onnx`` file; the monitor's files go beside it. Its folder is made when needed.
        model_name: shown in every output, whatever the logged data calls the model; ``""`` takes the data's.
        verbose: False prints nothing; logs and files are complete all the same.
        config: see :class:`~pytest_htp.monitor.config.MonitorConfig`. Unknown keys and bad values are
            refused.
        console: a ``rich.console.Console`` to print to instead of standard output.

    Attributes:
        console_writer, metadata_writer, report_writer: the built-in writers.
    """

    def __init__(
        self,
        output_path: str | PathLike[str],
        model_name: str = "",
        verbose: bool = True,
        config: Mapping[str, object] | None = None,
        *,
        console: Console | None = None,
    ) -> None:
        path = Path(output_path)
        if not path.name or path.is_dir():
            raise HTPUsageError(f"output_path must name a file, like 'exports/model.onnx'; got {str(output_path)!r}")
        self._path = path
        self._ledger = Ledger(str(model_name), str(path))
        self.console_writer = HTPConsoleWriter(MonitorConfig.parse(config), console=console, verbose=verbose)
        self.metadata_writer = HTPMetadataWriter()
        self.report_writer = HTPReportWriter()
        self._writers: list[StepAwareWriter] = [self.metadata_writer, self.report_writer]
        self._added: list[StepAwareWriter] = []
        self._switched_off: set[int] = set()
        self._running: HTPExportStep | None = None
        self._written: dict[str, Path] | None = None
        for writer in (*self._writers, self.console_writer):
            writer.data = self._ledger.data  # so that they can answer before the first step, too

    @property
    def data(self) -> HTPExportData:
        """Everything logged so far. The monitor's own object: read it, don't change it."""
        return self._ledger.data

    def add_writer(self, writer: StepAwareWriter) -> StepAwareWriter:
        """Let one more writer observe the export from here on; returns it."""
        if not isinstance(writer, StepAwareWriter):
            raise HTPUsageError(
                f"a writer must be an instance of a StepAwareWriter subclass, got {writer!r:.200}; "
                "see pytest_htp.StepAwareWriter for an example"
            )
        self._added.append(writer)
        return writer

    def begin_step(self, step: HTPExportStep) -> None:
        """Announce a step before it runs: it is displayed, and an exception from here on belongs to it."""
        self._running = _checked(step)
        for writer in self._observers():
            self._call(writer, writer.begin, step, self.data, during=f"the start of {step.value}")

    def log_step(self, step: HTPExportStep, data: HTPExportData | Mapping[str, object] | None = None) -> None:
        """A step is done. ``data``: everything known now, or some fields of it to merge, or nothing new."""
        self._ledger.take(_checked(step), data)
        self._running = None
        self._written = None
        for writer in self._observers():
            self._call(writer, writer.write, step, self.data, during=step.value)

    def log_error(self, step: HTPExportStep | None, error: BaseException | str) -> None:
        """A step failed (None: no step can be named). Recorded and shown once; the monitor goes on."""
        entry = self._ledger.fail(_checked(step) if step is not None else None, error)
        self._running = None
        self._written = None
        if entry is not None:
            for writer in self._observers():
                self._call(writer, writer.write_error, step, entry, self.data, during="an error")

    def get_console_output(self) -> str:
        """The console log so far, without ANSI codes."""
        return self.console_writer.get_output()

    def get_metadata(self) -> dict[str, object]:
        """The metadata so far, as the file will hold it."""
        return self.metadata_writer.get_metadata()

    def get_report(self) -> str:
        """The text report so far."""
        return self.report_writer.get_report()

    def finalize(self) -> dict[str, Path]:
        """Write metadata, report and console log beside the output path, each whole or not at all.

        Called again without anything logged in between, it only returns the same paths.

        Raises:
            OSError: the files can't be written (read-only folder, full disk, …); none of them was changed
                unless the last move into place failed. The message names the folder and the remedy.
        """
        if self._written is not None:
            return dict(self._written)
        for writer in self._observers():
            self._call(writer, writer.finish, self.data, during="the end")
        texts: tuple[tuple[str, StepAwareWriter, Iterator[str]], ...] = (
            ("report", self.report_writer, self.report_writer.chunks()),
            ("metadata", self.metadata_writer, self.metadata_writer.chunks()),
            ("console", self.console_writer, self.console_writer.chunks()),
        )
        paths = {}
        try:
            with AtomicFiles() as files:
                for kind, writer, chunks in texts:
                    path = self._path.with_name(self._path.stem + _ENDINGS[kind])
                    try:
                        files.stage(path, chunks)
                        paths[kind] = path
                    except OSError:
                        raise
                    except Exception as error:
                        self._report_writer_failure(writer, f"its {kind} file", error)
                files.commit()
        except OSError as error:
            raise OSError(
                error.errno,
                f"can't write the export's metadata, report and console log: {error.strerror or error}; "
                "free the folder, or choose another output_path",
                str(self._path.parent),
            ) from error
        self._written = {kind: paths[kind] for kind in _ENDINGS if kind in paths}
        return dict(self._written)

    def __enter__(self) -> HTPExportMonitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finalize()
            return
        self.log_error(self._running, error)
        try:
            self.finalize()
        except OSError as unwritten:  # must not take the place of what really went wrong
            error.add_note(f"pytest-htp: {unwritten}")

    def _observers(self) -> list[StepAwareWriter]:
        """The console comes last, so that it can show what happened to the others."""
        everyone = [*self._added, *self._writers, self.console_writer]
        return [writer for writer in everyone if id(writer) not in self._switched_off]

    def _call(self, writer: StepAwareWriter, method: Callable[..., None], *args: object, during: str) -> None:
        try:
            method(*args)
        except Exception as error:
            self._report_writer_failure(writer, during, error)

    def _report_writer_failure(self, writer: StepAwareWriter, during: str, error: Exception) -> None:
        if id(writer) in self._switched_off:
            return
        self._switched_off.add(id(writer))
        entry = self._ledger.writer_failed(writer, during, error)
        console = self.console_writer
        if id(console) not in self._switched_off:
            self._call(console, console.write_error, None, entry, self.data, during="an error")


def _checked(step: HTPExportStep) -> HTPExportStep:
    if not isinstance(step, HTPExportStep):
        known = ", ".join(f"HTPExportStep.{known.name}" for known in HTPExportStep)
        raise HTPUsageError(f"not a step: {step!r:.200}; known: {known}")
    return step
