"""What the fixture ``htp_export`` gives a test: a call exports, reports, compares and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest
from msgspec import convert, to_builtins

from pytest_htp.baseline.store import BaselineStore, BaselineUnwritable
from pytest_htp.baseline.stored import carried_over
from pytest_htp.compare.finding import Finding
from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.format.read import record_of
from pytest_htp.format.record import Record, TokensRow
from pytest_htp.report.result import BaselineState, Commands, Section
from pytest_htp.session.commands import PRUNE, as_typed, commands_for
from pytest_htp.session.exports import SECTION, TestExports
from pytest_htp.session.extensions import Extensions
from pytest_htp.session.frames import raises_at_the_call
from pytest_htp.session.generated import GenerationExports, check_tokens, tokens_of
from pytest_htp.session.identity import nodeid_of, test_id_of
from pytest_htp.session.judge import Rules, Then, export_missing, judge
from pytest_htp.session.messages import failure_text, missing_text
from pytest_htp.session.results import Row, failed_row, made_row, missing_row, row_of
from pytest_htp.session.settings import ExportSettings

if TYPE_CHECKING:
    from pytest_htp.exporter.keywords import FixtureKeywords
    from pytest_htp.exporter.result import HTPExport
    from pytest_htp.session.run import HtpRun
    from pytest_htp.session.sharing import Made

_FOLDERS = pytest.StashKey[Iterator[int]]()


class HtpExportFixture:
    """Callable that the fixture returns; one per test."""

    def __init__(self, request: pytest.FixtureRequest, run: HtpRun) -> None:
        self._request = request
        self._item: pytest.Item = request.node
        self._run = run
        self._extensions = Extensions(self._item)
        self._exports = TestExports.start(self._item)
        self._exports.at_end = self._look_for_missing
        self._store = BaselineStore(self._item, test_id=test_id_of(self._item), variant=run.settings.variant)

    @raises_at_the_call
    def __call__(
        self,
        model: object,
        inputs: object = None,
        *,
        name: str | None = None,
        baseline: bool = True,
        **options: Unpack[FixtureKeywords],
    ) -> HTPExport:
        """Export ``model``, attach the log to the test's report and compare with the baseline.

        All findings of a test are reported together when it ends; baselines are written only if it passed.

        Args:
            model: an ``nn.Module``, a transformers model or config, a factory without arguments, or a saved folder.
            inputs: a mapping, a tuple, a tensor, or None to make them.
            name: tells the exports of one test apart; by default they are numbered.
            baseline: False compares with nothing (coverage and parity are checked all the same).
            **options: of :class:`pytest_htp.HTPExporter`, and ``min_coverage``, ``fail_on``, ``quality_tolerance``.

        Raises:
            HTPExportError: one of the eight steps failed.
            HTPUsageError: an unknown option or a bad value.
        """
        return self._export(model, inputs, self._settings(options), name=name, baseline=baseline)

    def _export(
        self,
        model: object,
        inputs: object,
        settings: ExportSettings,
        *,
        name: str | None,
        baseline: bool,
        tokens: Callable[[HTPExport], TokensRow] | None = None,
    ) -> HTPExport:
        """``tokens``: what an export, once made, generates; part of its record."""
        export_name = self._name(name)
        folder = self._folder()
        try:
            made = self._run.export(self._item, export_name, model, inputs, settings.options, folder)
        except HTPExportError as error:
            self._failed(export_name, settings, error, baseline=baseline)
            self._add_sections()
            raise
        export = made.export
        export.record.update(test=test_id_of(self._item), export=export_name)
        export.record.pop("tokens", None)  # of another test that shares the export
        if tokens is not None:
            export.record["tokens"] = to_builtins(tokens(export))
        self._item.add_report_section("call", SECTION, export.console)
        self._judge(export_name, settings, made, baseline=baseline)
        if made.contradiction:
            self._exports.fail(f"{self._exports.results[-1].name}: {made.contradiction}")
        self._add_sections()
        return export

    @raises_at_the_call
    def for_generation(
        self,
        model: object,
        inputs: object = None,
        *,
        name: str | None = None,
        baseline: bool = True,
        generation_config: object = None,
        multi_token_decode: bool = False,
        tokens: int | None = None,
        **options: Unpack[FixtureKeywords],
    ) -> GenerationExports:
        """Export each component of a generative model (prefill, decode, encoder, …) as transformers splits it.

        One baseline per component, named after it. Arguments as for a call; ``inputs`` are those of
        ``model.generate``. ``tokens``: how many greedy tokens PyTorch and the exported components (their last
        stages, if there are any) are to generate for a comparison; the exports then have dynamic axes.
        """
        from pytest_htp.capture.generation import generation_components, options_of_part

        if tokens is not None:
            check_tokens(tokens, generation_config)
            if options.setdefault("dynamic", True) is not True:
                raise HTPUsageError("tokens= needs dynamic=True: the cache that decode is given grows by each token")
        prefix = f"{name}-" if name else ""
        settings = self._settings(options)
        for option in ("quantizer", "reference"):
            if settings.options.get(option) is not None:
                raise HTPUsageError(
                    f"{option}= is for the forward of one model, and for_generation exports several parts; leave it "
                    "out (stages=['int8:dynamic'] quantizes each part)"
                )
        if settings.options.get("parity_inputs"):
            raise HTPUsageError(
                "parity_inputs are inputs of one forward, and for_generation exports several; leave them out (other "
                "sizes and padding are tried anyway)"
            )
        components = generation_components(
            model,
            inputs,
            seed=settings.options.get("seed", 0),
            weights=settings.options.get("weights", "real"),
            generation_config=generation_config,
            multi_token_decode=multi_token_decode,
            several_tokens=tokens is not None,
        )
        if tokens is not None and settings.options.get("weights", "real") == "none":
            raise HTPUsageError("tokens= needs weights to generate by; leave out weights='none' or tokens")
        exports = GenerationExports()

        def generated(decode: HTPExport) -> TokensRow:
            assert tokens is not None
            equal = tokens_of(
                {**exports, "decode": decode},
                components,
                inputs,
                tokens,
                seed=settings.options.get("seed", 0),
                generation_config=generation_config,
            )
            exports.tokens_equal = equal
            return TokensRow(count=tokens, equal=equal)

        for component, (submodel, component_inputs) in components.items():
            exports[component] = self._export(
                submodel,
                component_inputs,
                self._settings({**options, **options_of_part(submodel, settings.options)}),
                name=f"{prefix}{component}",
                baseline=baseline,
                tokens=generated if tokens is not None and component == "decode" else None,
            )
        return exports

    def _settings(self, call: Mapping[str, object]) -> ExportSettings:
        marker: dict[str, object] = {}
        for mark in reversed(list(self._item.iter_markers("htp"))):
            if mark.args:
                raise HTPUsageError(
                    f"@pytest.mark.htp takes keywords only, like min_coverage=95; got {', '.join(map(repr, mark.args))}"
                )
            marker.update(mark.kwargs)
        return ExportSettings.resolve(self._run.settings, marker, call)

    def _name(self, name: str | None) -> str:
        names = self._exports.names
        if self._exports.over:
            raise HTPUsageError(
                f"htp_export was called after {nodeid_of(self._item)} had ended, such as behind a fixture's yield: "
                "nothing could fail the test for what it finds, nor store a baseline; call it in the test, or before "
                "the yield"
            )
        if name is None:
            # A number that the test itself gave as a name is passed over.
            numbers = (str(number) for number in count(len(names) + 1))
            name = next(number for number in numbers if number not in names) if names else ""
        elif not isinstance(name, str) or not name.strip():
            raise HTPUsageError(f"htp_export(name=…) must be a non-empty string, got {name!r}")
        if name in names:
            raise HTPUsageError(
                f"two exports of {nodeid_of(self._item)} have the name {name!r}; give each its own name="
            )
        names.add(name)
        return name

    def _folder(self) -> Path:
        """A new one for the export's files. ``mktemp`` looks for the next number among all that there are."""
        factory: pytest.TempPathFactory = self._request.getfixturevalue("tmp_path_factory")
        numbers = self._item.config.stash.setdefault(_FOLDERS, count())
        while True:
            folder = factory.getbasetemp() / f"htp{next(numbers)}"
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                return folder

    def _add_sections(self) -> None:
        """What other plugins say of the export just made, for the report and the test's sections."""
        sections = self._extensions.sections(self._exports.results[-1])
        if sections:
            self._exports.amend(-1, sections=[convert(section, Section) for section in sections])
        for section in sections:
            self._item.add_report_section("call", section["title"], section["text"])

    def _row(self, export_name: str, settings: ExportSettings) -> Row:
        return row_of(self._item, export_name, settings.fail_on)

    def _failed(self, export_name: str, settings: ExportSettings, error: HTPExportError, *, baseline: bool) -> None:
        """An export that did not finish: recorded with what the earlier steps produced and the baseline it has.

        A baseline that is there and readable counts as changed: what it describes could not be made.
        """
        console = self._run.console_of(error)
        self._item.add_report_section("call", SECTION, console)
        stored = self._store.read(export_name) if baseline else None
        before = stored.record if stored is not None else None
        state = BaselineState.MISSING if stored is None else BaselineState.CHANGED if before else BaselineState.ERROR
        result = failed_row(
            self._row(export_name, settings),
            error,
            before,
            console=console,
            baseline=self._store.shown_path(export_name) if baseline else None,
            baseline_status=state if baseline else BaselineState.OFF,
            commands=commands_for(self._item),
            artifacts=self._artifacts(export_name, Path(error.data.output_path)),
        )
        self._exports.results.append(result)

    def _judge(self, export_name: str, settings: ExportSettings, made: Made, *, baseline: bool) -> None:
        export = made.export
        stored = self._store.read(export_name) if baseline else None
        before = stored.record if stored is not None else None
        record = record_of(export.record)  # the dict is the test's, whatever it does to it
        to_store = carried_over(before, record, settings.quality_tolerance)
        run = self._run.settings
        rules = Rules(
            fail_on=settings.fail_on,
            min_coverage=settings.min_coverage,
            coverage_tolerance=run.coverage_tolerance,
            quality_tolerance=settings.quality_tolerance,
            policy=run.policy,
            sources=export.sources,
            others=lambda before: self._extensions.findings(before, record, export),
            failures=_failures(export),
            update=self._store.will_write(stored),
        )
        found = judge(record, stored, rules, compares=baseline)
        commands = commands_for(self._item)
        if not found.acceptable:
            commands = Commands(reproduce=commands.reproduce)
        elif stored is not None and stored.remedy:
            commands = Commands(reproduce=commands.reproduce, accept=stored.remedy)
        result = made_row(
            self._row(export_name, settings),
            made,
            record,
            before,
            found,
            baseline=self._store.shown_path(export_name) if baseline else None,
            artifacts=self._artifacts(export_name, export.onnx_path, made.structures, to_store),
            commands=commands,
        )
        position = len(self._exports.results)
        self._exports.results.append(result)
        if not run.keep_artifacts:
            self._exports.saved += [export.onnx_path, *(stage.onnx_path for stage in export.stages.values())]
        if found.failed:
            self._exports.fail(failure_text(result, found, stored, self._report_shown()))
        if found.then is Then.WRITE:
            self._exports.on_pass.append(self._writer(position, export_name, to_store))
        elif found.then is Then.MISMATCH:
            self._store.report_mismatch(export_name, record)
        elif found.then is Then.CONFIRM:
            self._exports.on_pass.append(lambda: self._store.confirm(export_name))

    def _artifacts(
        self,
        export_name: str,
        output_path: Path,
        structures: Mapping[str, bytes] | None = None,
        to_store: Record | None = None,
    ) -> str | None:
        return self._run.keep_artifacts(nodeid_of(self._item), export_name, output_path, structures or {}, to_store)

    def _report_shown(self) -> str | None:
        """The report's page as typed where the run was started; None without a report."""
        folder = self._run.settings.report_dir
        return as_typed(folder / "index.html", self._item.config) if folder is not None else None

    def _writer(self, position: int, export_name: str, record: Record) -> Callable[[], None]:
        def write() -> None:
            try:
                state = self._store.write(export_name, record)
                self._exports.amend(position, baseline_status=state)
            except (HTPUsageError, BaselineUnwritable) as error:
                self._exports.amend(position, baseline_status=BaselineState.UNWRITTEN, outcome="failed")
                if isinstance(error, HTPUsageError):
                    raise
                # The same for all tests of the run, which says so once and fails.
                self._exports.unwritten.append((self._store.shown_path(export_name), error.reason))

        return write

    def _look_for_missing(self) -> None:
        """The test's own code has run to its end: which of its baselines belong to no export that it made?"""
        unmade = self._store.not_made(self._exports.names)
        if not unmade:
            return
        settings = self._settings({})
        run = self._run.settings
        spared = run.prune or self._store.update  # which come to an end by themselves, or say what to do
        for stored in unmade:
            found = export_missing(stored, self._store.shown(stored.path), run.policy)
            if found is None:
                continue
            failed = bool(found.at_or_above(settings.fail_on)) and not spared
            commands = commands_for(self._item)
            before = stored.record
            result = missing_row(
                self._row((before and before.export) or stored.path.stem, settings),
                found,
                before,
                failed=failed,
                baseline=self._store.shown(stored.path),
                commands=Commands(reproduce=commands.reproduce, accept=f"{commands.reproduce} {PRUNE}"),
            )
            self._exports.results.append(result)
            if failed:
                self._exports.failures.append(missing_text(result, found, self._report_shown()))


def _failures(export: HTPExport) -> list[Finding]:
    failure = export.stage_failure
    if failure is None:
        return []
    return [Finding("stage.failed", str(failure).partition("\n")[0], stage=failure.stage)]
