"""What the tests of one process share: settings, shared exports, the report folder, the live line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.errors import HTPExportError
from pytest_htp.session.extensions import Extensions
from pytest_htp.session.identity import nodeid_of
from pytest_htp.session.settings import RunSettings
from pytest_htp.session.sharing import Made, SharedExports
from pytest_htp.session.terminal import terminal_of

if TYPE_CHECKING:
    from pytest_htp.cache.exports import ExportCache
    from pytest_htp.cache.request import Request
    from pytest_htp.capture.hierarchy import NamingRule
    from pytest_htp.capture.models import ResolvedModel
    from pytest_htp.exporter.options import ExportOptions
    from pytest_htp.format.record import Record
    from pytest_htp.monitor.live import LiveProgress

_KEY = pytest.StashKey["HtpRun"]()


class HtpRun:
    """One per pytest process (each xdist worker has its own)."""

    def __init__(self, config: pytest.Config, settings: RunSettings) -> None:
        self.config = config
        self.settings = settings
        self._shared = SharedExports()
        self.unkept = ""  # why exports' files are not in the report

    @classmethod
    def of(cls, config: pytest.Config) -> HtpRun:
        """The one of this pytest run.

        Raises:
            pytest.UsageError: as :meth:`RunSettings.from_config`.
        """
        if _KEY not in config.stash:
            config.stash[_KEY] = cls(config, RunSettings.from_config(config))
        return config.stash[_KEY]

    def export(
        self, item: pytest.Item, export_name: str, model: object, inputs: object, options: dict[str, Any], folder: Path
    ) -> Made:
        """Export, or share what an identical request of this session gave, or take it from the cache."""
        from pytest_htp.exporter.options import ExportOptions

        extensions = Extensions(item)
        rule = extensions.module_name()
        if "targets" in options:
            options = {**options, "targets": extensions.targets(options["targets"])}
        chosen = ExportOptions.from_mapping(options)
        chosen.require()
        resolved = self._resolve(model, chosen)
        if resolved is not None and inputs is None:
            inputs = extensions.inputs(resolved.module)
        request, note = self._request(resolved, inputs, chosen, rule)
        if request is not None and not self.settings.cache_verify:
            shared = self._shared.find(request.key, folder)
            if shared is not None:
                return replace(shared, note="")
            kept = self.cache.find(request, folder) if self.cache is not None else None
            if kept is not None:
                made = Made(kept.export, cached=True, note="hit", structures=kept.structures)
                return self._keep(request, made, item, export_name)
        from pytest_htp.exporter.exporter import HTPExporter  # with onnx-ir and sympy: a second
        from pytest_htp.exporter.save import structures

        exporter = HTPExporter(progress=self._live(), module_name=rule, **options)
        export = exporter.export(resolved if resolved is not None else model, inputs, folder / "model.onnx")
        wanted = self.cache is not None or self.settings.report_dir is not None
        made = Made(export, structures=structures(export) if wanted else {})
        if request is None:
            return replace(made, note=note if self.cache is not None else "")
        return self._keep(request, made, item, export_name)

    def _keep(self, request: Request, made: Made, item: pytest.Item, export_name: str) -> Made:
        """For the next ones that ask for the same, in this session and in later ones."""
        nodeid = nodeid_of(item)
        if self.cache is not None:
            who = f"{nodeid} {export_name}"
            if not made.cached:
                made = replace(
                    made,
                    note=self.cache.explain(who, request),
                    contradiction=self.cache.contradiction(request, made.export) if self.settings.cache_verify else "",
                )
                self.cache.add(request, made.export, made.structures)
            self.cache.remember(who, request)
        if not made.cached:  # what is in the cache is read from there again
            self._shared.add(request.key, made, nodeid)
        return made

    @cached_property
    def cache(self) -> ExportCache | None:
        """The cache of exports, None where none was asked for."""
        if self.settings.cache_dir is None:
            return None
        from pytest_htp.cache.exports import ExportCache

        return ExportCache(self.settings.cache_dir, self.settings.cache_bytes)

    @staticmethod
    def _resolve(model: object, chosen: ExportOptions) -> ResolvedModel | None:
        """The model of a request; None where it can't be resolved: the export will say why."""
        from pytest_htp.capture.models import resolve_model

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the export itself notes what building the model warns of
                return resolve_model(model, weights=chosen.weights, seed=chosen.seed)
        except Exception:
            return None

    def notes(self) -> list[str]:
        """What there is to say of the run itself: trouble with the cache."""
        folder = self.settings.cache_dir
        if folder is None or self.cache is None:
            return []
        return [f"cache {folder.name}: {problem}" for problem in self.cache.problems]

    def _request(
        self, resolved: ResolvedModel | None, inputs: object, chosen: ExportOptions, rule: NamingRule | None
    ) -> tuple[Request | None, str]:
        """By what identical requests are recognised; None where they can't be, and why."""
        from pytest_htp.cache import Uncertain
        from pytest_htp.cache.request import Request

        if resolved is None:
            return None, ""
        try:
            names = None
            if rule is not None:
                names = {path: rule(module, path) for path, module in resolved.module.named_modules()}
            return Request.of(resolved, inputs, chosen, names=names, root=self.config.rootpath), ""
        except Uncertain as error:
            return None, f"not kept: {error}"
        except Exception as error:  # objects of any kind are asked for their attributes
            return None, f"not kept: the request can't be determined ({type(error).__name__}: {error})"

    def _live(self) -> LiveProgress | None:
        terminal = terminal_of(self.config)
        if terminal is None:
            return None
        from pytest_htp.monitor.live import LiveProgress

        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        writer = getattr(reporter, "_tw", None)
        return LiveProgress(stream=terminal, column=lambda: getattr(writer, "width_of_current_line", 0))

    def console_of(self, error: HTPExportError) -> str:
        """The console log of a failed export, as its monitor wrote it."""
        path = Path(error.data.output_path)
        log = path.with_name(f"{path.stem}_htp_console.log")
        try:
            return log.read_text(encoding="utf-8")
        except OSError:
            return str(error)

    def keep_artifacts(
        self,
        nodeid: str,
        export_name: str,
        output_path: Path,
        structures: Mapping[str, bytes],
        to_store: Record | None,
    ) -> str | None:
        """Put an export's graphs without weights and the baseline it would have where the report will be made of them.

        What its monitor wrote beside ``output_path`` joins them, and is all there is of one that failed; ``to_store``
        is the record that an update would store.

        Returns:
            The folder as it will be called in the report; None where no report was asked for, or its folder can't be
            written: no test fails for that, the run does.
        """
        if self.settings.report_dir is None:
            return None
        from pytest_htp.baseline.naming import artifact_stem
        from pytest_htp.format.atomic import AtomicFiles
        from pytest_htp.format.serialize import dumps
        from pytest_htp.session.artifacts import staging_folder

        stem = artifact_stem(nodeid, export_name)
        folder = staging_folder(self.config, self.settings.report_dir) / stem
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for source in output_path.parent.glob("*_htp_*"):
                copyfile(source, folder / source.name)
            with AtomicFiles(durable=False) as files:
                for name, content in structures.items():
                    files.stage(folder / name, [content])
                if to_store is not None:
                    files.stage(folder / "baseline.json", [dumps(to_store)])
                files.commit()
        except OSError as error:
            self.unkept = (
                f"the exports' files can't be written to {self.settings.report_dir}: {error.strerror or error}; "
                "choose a writable directory with --htp-report=DIR"
            )
            return None
        return f"exports/{stem}"
